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

    /// The key that this text stands for; `None` for a text that stands for none.
    ///
    /// Needed by [`WritePolicy::Behind`](crate::WritePolicy::Behind) alone, where the process that writes a record need
    /// not be the one that put it. The default reads no key back, and such a `put` is refused.
    ///
    /// ```
    /// use russet::CacheKey;
    ///
    /// assert_eq!(u64::from_cache_key("42"), Some(Box::new(42)));
    /// assert_eq!(<(String, u8)>::from_cache_key("a\\:b:7"), Some(Box::new(("a:b".to_owned(), 7))));
    /// ```
    fn from_cache_key(text: &str) -> Option<Box<Self>> {
        let _ = text;
        None
    }
}

impl CacheKey for str {
    fn cache_key(&self) -> Cow<'_, str> {
        Cow::Borrowed(self)
    }

    fn from_cache_key(text: &str) -> Option<Box<Self>> {
        Some(text.into())
    }
}

impl CacheKey for String {
    fn cache_key(&self) -> Cow<'_, str> {
        Cow::Borrowed(self)
    }

    fn from_cache_key(text: &str) -> Option<Box<Self>> {
        Some(Box::new(text.to_owned()))
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

            fn from_cache_key(text: &str) -> Option<Box<Self>> {
                text.parse().ok().map(Box::new)
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

            fn from_cache_key(text: &str) -> Option<Box<Self>> {
                let mut parts = split(text).into_iter();
                let key = ($(*$part::from_cache_key(&parts.next()?)?,)*);
                parts.next().is_none().then(|| Box::new(key))
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

/// The parts that `escape` and a colon between them made one text of.
fn split(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        let char = match char {
            ':' => {
                parts.push(String::new());
                continue;
            }
            '\\' => chars.next().unwrap_or('\\'),
            other => other,
        };
        if let Some(part) = parts.last_mut() {
            part.push(char);
        }
    }
    parts
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

        #[test]
        fn a_key_is_read_back_from_its_text(a in "[a:\\\\é]{0,6}", b in any::<i64>(), c in "[a:\\\\]{0,3}") {
            let key = (a, b, (c, 7_u8));
            prop_assert_eq!(<(String, i64, (String, u8))>::from_cache_key(&key.cache_key()), Some(Box::new(key)));
        }
    }
}
