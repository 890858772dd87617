//! Access tokens and their rate limits.

use std::collections::HashMap;

use super::channels::micros;
use super::config::Limits;
use super::random::Random;

/// Tokens at once; the one that expires first makes room.
const MAX_TOKENS: usize = 10_000;
/// The window of all rate limits: fixed, from its first request.
const WINDOW: i64 = 60_000_000;

pub(super) struct Token {
    pub(super) client: usize,
    pub(super) expires: i64,
    window: i64,
    used: u32,
    /// Used of each of [`Limits::paths`].
    paths: Vec<u32>,
}

pub(super) struct Tokens {
    tokens: HashMap<String, Token>,
    random: Random,
}

/// Where a token stands in its window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) used: u32,
    pub(super) allowed: u32,
    /// Simulated microseconds until it begins anew.
    pub(super) left: i64,
}

/// Why a request is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Denied {
    Unknown,
    Expired,
    Limited(Window),
}

impl Tokens {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            tokens: HashMap::new(),
            random: Random::new(seed, 5),
        }
    }

    pub(super) fn give(&mut self, client: usize, limits: &Limits, now: i64) -> String {
        if self.tokens.len() >= MAX_TOKENS {
            // Expired ones are remembered as such, until room is needed.
            let first = self
                .tokens
                .iter()
                .min_by_key(|(_, it)| it.expires)
                .map(|(name, _)| name.clone());
            first.and_then(|first| self.tokens.remove(&first));
        }
        let text = (0..4)
            .map(|_| format!("{:016x}", self.random.next()))
            .collect::<String>();
        let token = Token {
            client,
            expires: now + micros(limits.token),
            window: now,
            used: 0,
            paths: vec![0; limits.paths.len()],
        };
        self.tokens.insert(text.clone(), token);
        text
    }

    /// The client of a token that is good.
    pub(super) fn client(&self, token: &str, now: i64) -> Result<usize, Denied> {
        let token = self.tokens.get(token).ok_or(Denied::Unknown)?;
        match now < token.expires {
            true => Ok(token.client),
            false => Err(Denied::Expired),
        }
    }

    /// Counts a request.
    pub(super) fn request(
        &mut self,
        token: &str,
        path: &str,
        limits: &Limits,
        now: i64,
    ) -> Result<(usize, Window), Denied> {
        let client = self.client(token, now)?;
        let token = self.tokens.get_mut(token).ok_or(Denied::Unknown)?;
        if now - token.window >= WINDOW {
            token.window = now;
            token.used = 0;
            token.paths.fill(0);
        }
        token.used = token.used.saturating_add(1);
        let left = token.window + WINDOW - now;
        let mut window = Window {
            used: token.used,
            allowed: limits.requests,
            left,
        };
        for ((prefix, allowed), used) in limits.paths.iter().zip(&mut token.paths) {
            if path.starts_with(prefix.as_str()) {
                *used = used.saturating_add(1);
                // The limit with the least room is the one that is told.
                let room = |it: &Window| i64::from(it.allowed) - i64::from(it.used);
                let of_path = Window {
                    used: *used,
                    allowed: *allowed,
                    left,
                };
                if room(&of_path) < room(&window) {
                    window = of_path;
                }
            }
        }
        match token.used > limits.requests || window.used > window.allowed {
            true => Err(Denied::Limited(window)),
            false => Ok((client, window)),
        }
    }

    /// Takes a token back; `None`: all of them. Answers which.
    pub(super) fn revoke(&mut self, token: Option<&str>) -> Vec<String> {
        match token {
            Some(token) => self
                .tokens
                .remove_entry(token)
                .into_iter()
                .map(|it| it.0)
                .collect(),
            None => self.tokens.drain().map(|it| it.0).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;

    #[test]
    fn the_window_is_fixed_and_the_lowest_limit_holds() {
        let limits = Limits {
            requests: 3,
            paths: vec![("/api/v2/users".to_owned(), 1)],
            ..Limits::default()
        };
        let mut tokens = Tokens::new(1);
        let token = tokens.give(7, &limits, 0);
        let mut ask = |path: &str, now| tokens.request(&token, path, &limits, now);
        assert_eq!(
            ask("/api/v2/x", SECOND),
            Ok((
                7,
                Window {
                    used: 1,
                    allowed: 3,
                    left: 59 * SECOND
                }
            ))
        );
        assert_eq!(
            ask("/api/v2/users/me", 2 * SECOND),
            Ok((
                7,
                Window {
                    used: 1,
                    allowed: 1,
                    left: 58 * SECOND
                }
            ))
        );
        assert!(
            matches!(ask("/api/v2/users/me", 2 * SECOND), Err(Denied::Limited(it)) if it.used == 2)
        );
        assert!(
            matches!(ask("/api/v2/x", 3 * SECOND), Err(Denied::Limited(it)) if it.allowed == 3)
        );
        assert!(ask("/api/v2/x", 60 * SECOND).is_ok());
        assert_eq!(ask("/api/v2/x", 86_400 * SECOND), Err(Denied::Expired));
        assert_eq!(tokens.client("nobody", 0), Err(Denied::Unknown));
        assert_eq!(tokens.revoke(Some(&token)), std::slice::from_ref(&token));
        assert_eq!(tokens.client(&token, 0), Err(Denied::Unknown));
    }
}
