//! What a name and an e-mail address may look like.

/// The most characters of a name.
const LONGEST_NAME: usize = 100;
/// The most bytes of an address and of the part before its @ (RFC 5321).
const LONGEST_EMAIL: usize = 254;
const LONGEST_MAILBOX: usize = 64;

/// Checks a person's name: 1 to 100 characters, not only spaces, none of them a control character.
///
/// # Errors
/// A sentence that says what is wrong.
pub fn check_name(name: &str) -> Result<(), &'static str> {
    if name.trim().is_empty() {
        Err("name is empty")
    } else if name.chars().count() > LONGEST_NAME {
        Err("name has more than 100 characters")
    } else if name.chars().any(char::is_control) {
        Err("name has a control character")
    } else {
        Ok(())
    }
}

/// Checks that a text looks like an e-mail address: `mailbox@domain.tld`, at most 254 bytes.
///
/// # Errors
/// A sentence that says what is wrong.
pub fn check_email(email: &str) -> Result<(), &'static str> {
    if email.len() > LONGEST_EMAIL {
        return Err("email has more than 254 bytes");
    }
    let Some((mailbox, domain)) = email.rsplit_once('@') else {
        return Err("email has no @");
    };
    let odd = |c: char| c.is_control() || c.is_whitespace() || "@<>()[],;:\\\"".contains(c);
    if mailbox.is_empty() || mailbox.len() > LONGEST_MAILBOX || mailbox.contains(odd) {
        return Err("email does not look like an address before the @");
    }
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| c.is_alphanumeric() || c == '-')
    };
    if !domain.contains('.') || !domain.split('.').all(label) {
        return Err("email does not look like an address after the @");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_people_pass() {
        for name in ["Ada", "李小龙", "O'Brien", "José María", "<b>bold</b>", &"x".repeat(100)]
        {
            assert_eq!(check_name(name), Ok(()), "{name}");
        }
    }

    #[test]
    fn empty_long_and_control_names_are_refused() {
        for name in ["", "   ", "a\nb", "a\0b", "\u{7f}", &"x".repeat(101)] {
            assert!(check_name(name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn addresses_pass() {
        for email in ["a@b.co", "first.last+tag@mail.example.com", "用户@例子.公司"] {
            assert_eq!(check_email(email), Ok(()), "{email}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        let long = format!("{}@example.com", "a".repeat(65));
        let longer = format!("a@{}.com", "b".repeat(250));
        for email in [
            "", "a", "@b.co", "a@", "a@b", "a b@c.de", "a@b@c.de", "a@.de", "a@-b.de", "a@b..c",
            "a@b.c\n", &long, &longer,
        ] {
            assert!(check_email(email).is_err(), "{email:?}");
        }
    }
}
