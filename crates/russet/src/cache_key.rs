use std::borrow::Cow;

/// What can name an entry of a cache: text and whole numbers, tuples of two to four of them, and references to these.
///
/// Implement it for a type of your own. Two different keys of one type must give two different texts.
///
/// ```
/// use russet::CacheKey;
///
/// assert_eq!(42_u64.cache_key(), "42");
/// assert_eq!(("shop", 7).cache_key(), "shop:7");
/// ```
pub trait CacheKey: Sync {
    /// The text that stands for the key in Redis, at most 1 KiB.
    fn cache_key(&self) -> Cow<'_, str>;
}

impl CacheKey for str {
    fn cache_key(&self) -> Cow<'_, str> {
        Cow::Borrowed(self)
    }
}

impl CacheKey for String {
    fn cache_key(&self) -> Cow<'_, str> {
        Cow::Borrowed(self)
    }
}

impl<K: CacheKey + ?Sized> CacheKey for &K {
    fn cache_key(&self) -> Cow<'_, str> {
        (**self).cache_key()
    }
}

macro_rules! numbers {
    ($($number:ty)*) => {$(
        impl CacheKey for $number {
            fn cache_key(&self) -> Cow<'_, str> {
                Cow::Owned(self.to_string())
            }
        }
    )*};
}
numbers!(u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize);

macro_rules! tuples {
    ($(($($part:ident $place:tt)*))*) => {$(
        impl<$($part: CacheKey),*> CacheKey for ($($part,)*) {
            fn cache_key(&self) -> Cow<'_, str> {
                // A part's own colons are escaped: ("a:b", "c") and ("a", "b:c") stay two keys.
                let parts = [$(escape(self.$place.cache_key())),*];
                Cow::Owned(parts.join(":"))
            }
        }
    )*};
}
tuples!((A 0 B 1) (A 0 B 1 C 2) (A 0 B 1 C 2 D 3));

fn escape(part: Cow<'_, str>) -> Cow<'_, str> {
    if part.contains(['\\', ':']) {
        Cow::Owned(part.replace('\\', "\\\\").replace(':', "\\:"))
    } else {
        part
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn two_tuples_never_make_one_key(a in "[a:\\\\]{0,4}", b in "[a:\\\\]{0,4}", c in "[a:\\\\]{0,4}", d in "[a:\\\\]{0,4}") {
            let (left, right) = ((&*a, &*b), (&*c, &*d));
            prop_assert_eq!(left == right, left.cache_key() == right.cache_key());
        }
    }
}
