//! How often one may try to sign in.

use std::net::IpAddr;
use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use russet::{Limit, RateLimiter, Russet};
use sha2::Sha256;

use crate::secret_key::SecretKey;

/// Within any quarter of an hour.
const PERIOD: Duration = Duration::from_secs(900);
/// Tries of one address for one account: whoever forgets a password types it a few times.
const PAIR: u64 = 10;
/// Tries of one address, whatever the account.
const ADDRESS: u64 = 50;
/// Tries for one account, from wherever. More than one address can use up, so that nobody alone locks another one out.
const ACCOUNT: u64 = 100;

/// The limits of the login, in Redis: all processes count together.
#[derive(Debug, Clone)]
pub(super) struct LoginLimits {
    key: SecretKey,
    address: RateLimiter,
    pair: RateLimiter,
    account: RateLimiter,
}

impl LoginLimits {
    pub(super) fn new(russet: &Russet, key: &SecretKey) -> russet::Result<Self> {
        let limiter = |name, most| {
            RateLimiter::builder(russet, name).limit(Limit::sliding(most, PERIOD)).build()
        };
        Ok(Self {
            key: key.clone(),
            address: limiter("login_address", ADDRESS)?,
            pair: limiter("login_address_account", PAIR)?,
            account: limiter("login_account", ACCOUNT)?,
        })
    }

    /// Counts a try; answers how long to wait when it is one too many. Successful ones count too: nobody gets more tries by
    /// signing in between them.
    ///
    /// # Errors
    /// When Redis cannot be asked: whoever tries must be refused then.
    pub(super) async fn check(
        &self,
        account: &str,
        address: IpAddr,
    ) -> russet::Result<Result<(), Duration>> {
        let (account, address) = (self.hidden(account), network(address));
        let pair = [&*account, " ", &address].concat();
        for (limiter, subject) in
            [(&self.address, &*address), (&self.pair, &pair), (&self.account, &account)]
        {
            let allowance = limiter.check(subject).await?;
            if !allowance.is_allowed {
                return Ok(Err(allowance.retry_after));
            }
        }
        Ok(Ok(()))
    }

    /// What stands for a name in Redis. People type their password into the wrong field, so that nobody must be able to find out
    /// what was typed.
    fn hidden(&self, account: &str) -> String {
        // It takes a key of any length.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(self.key.as_bytes()) else {
            return String::new();
        };
        mac.update(b"russet login limit v1 ");
        mac.update(account.as_bytes());
        mac.finalize().into_bytes().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
    }
}

/// An IPv4 address, or the first 64 bits of an IPv6 one: a home has all of those behind them.
fn network(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::")
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn one_home_is_one_address() {
        let network = |text: &str| network(text.parse().unwrap());
        assert_eq!(network("10.1.2.3"), "10.1.2.3");
        assert_eq!(network("::ffff:10.1.2.3"), "10.1.2.3");
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
    }
}
