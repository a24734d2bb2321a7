//! Challenges: a word that only this map can have made, and that says itself until when it is good. Pure, but for randomness.
//!
//! None is kept: strangers who ask for a million of them fill nothing.

use hmac::{Hmac, Mac as _};
use jiff::Timestamp;
use sha2::Sha256;
use std::time::Duration;

/// How long a challenge is good for.
pub const GOOD_FOR: Duration = Duration::from_secs(60);

/// Makes challenges, and knows its own again.
pub struct Challenger {
    key: [u8; 32],
}

impl Challenger {
    /// With a key of its own, which nobody else ever has: challenges of an earlier run are not known again.
    pub fn new() -> Result<Self, getrandom::Error> {
        let mut key = [0; 32];
        getrandom::fill(&mut key)?;
        Ok(Self { key })
    }

    fn mac(&self, text: &str) -> Hmac<Sha256> {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&self.key).expect("HMAC takes keys of any length");
        mac.update(text.as_bytes());
        mac
    }

    /// A challenge that is good until `GOOD_FOR` from now.
    pub fn make(&self, now: Timestamp) -> Result<String, getrandom::Error> {
        let mut random = [0; 16];
        getrandom::fill(&mut random)?;
        let expires = now.as_second() + i64::try_from(GOOD_FOR.as_secs()).unwrap_or(0);
        let text = format!("{}.{expires}", hex::encode(random));
        let mac = self.mac(&text).finalize().into_bytes();
        Ok(format!("{text}.{}", hex::encode(&mac[..16])))
    }

    /// Until when this challenge is good, where it is ours and still is.
    pub fn expiry(&self, nonce: &str, now: Timestamp) -> Option<Timestamp> {
        let (text, mac) = nonce.rsplit_once('.')?;
        self.mac(text)
            .verify_truncated_left(&hex::decode(mac).ok().filter(|mac| mac.len() == 16)?)
            .ok()?;
        let expires: i64 = text.rsplit_once('.')?.1.parse().ok()?;
        Timestamp::from_second(expires)
            .ok()
            .filter(|expires| *expires > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_is_known_again_until_it_is_a_minute_old() {
        let challenger = Challenger::new().expect("random bytes");
        let now = Timestamp::now();
        let nonce = challenger.make(now).expect("random bytes");
        assert!(challenger.expiry(&nonce, now).is_some());
        assert!(
            challenger
                .expiry(&nonce, now + Duration::from_secs(61))
                .is_none()
        );
    }

    #[test]
    fn a_challenge_that_was_changed_or_made_elsewhere_is_not_known() {
        let (ours, other) = (
            Challenger::new().expect("random bytes"),
            Challenger::new().expect("random bytes"),
        );
        let now = Timestamp::now();
        let nonce = other.make(now).expect("random bytes");
        assert!(ours.expiry(&nonce, now).is_none());
        let own = ours.make(now).expect("random bytes");
        let (text, mac) = own.rsplit_once('.').expect("two parts");
        let later = format!("{text}9.{mac}");
        for wrong in [
            later.as_str(),
            "",
            ".",
            "..",
            &own[..own.len() - 2],
            &format!("{own}00"),
        ] {
            assert!(ours.expiry(wrong, now).is_none(), "{wrong}");
        }
    }
}
