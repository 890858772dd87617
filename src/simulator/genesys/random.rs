//! Numbers that a seed decides.

/// SplitMix64: small, fast, and the same on every machine.
#[derive(Clone, Debug)]
pub(super) struct Random(u64);

impl Random {
    /// A sequence of its own for each `stream` of a seed.
    pub(super) fn new(seed: u64, stream: u64) -> Self {
        let mut random = Self(seed ^ mix(stream.wrapping_add(0x9E37_79B9_7F4A_7C15)));
        random.next();
        random
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.0)
    }

    /// 0 to 1, without 1.
    pub(super) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// 0 to `bound`, without it; 0 for a bound of 0.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        // The bias of this multiplication is below 2^-32 for the small bounds used here.
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }

    /// True with this probability. Draws nothing for 0, so that a fault that is off leaves the
    /// sequence as it is.
    pub(super) fn share(&mut self, share: f64) -> bool {
        share > 0.0 && self.unit() < share
    }

    pub(super) fn between(&mut self, least: f64, most: f64) -> f64 {
        least + self.unit() * (most - least)
    }

    pub(super) fn pick<T: Copy>(&mut self, of: &[T]) -> Option<T> {
        of.get(self.below(of.len() as u64) as usize).copied()
    }

    /// A UUID of version 4.
    pub(super) fn uuid(&mut self) -> Uuid {
        Uuid::of(self.next(), self.next())
    }
}

/// A UUID, printed on demand: conversations have dozens.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(super) struct Uuid(pub(super) u128);

impl Uuid {
    /// With the marks of version 4 set.
    pub(super) fn of(high: u64, low: u64) -> Self {
        let bits = (u128::from(high) << 64) | u128::from(low);
        Self(
            (bits & !(0xF000_u128 << 64) & !(0xC000_u128 << 48))
                | (0x4000_u128 << 64)
                | (0x8000_u128 << 48),
        )
    }

    /// The one for a thing that has a number.
    pub(super) fn numbered(seed: u64, kind: u64, number: u64) -> Self {
        Self::of(
            mix(mix(seed ^ kind) ^ number),
            mix(mix(number ^ 0x5bd1) ^ seed.rotate_left(17) ^ kind),
        )
    }

    /// Reads what [`super::write::uuid`] prints.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        let dashed = bytes.len() == 36 && [8, 13, 18, 23].iter().all(|at| bytes[*at] == b'-');
        if !dashed || bytes.iter().filter(|byte| **byte == b'-').count() != 4 {
            return None;
        }
        bytes
            .iter()
            .filter(|byte| **byte != b'-')
            .try_fold(0u128, |value, byte| {
                Some(value << 4 | u128::from((*byte as char).to_digit(16)?))
            })
            .map(Self)
    }
}

pub(super) fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulator::genesys::write;

    #[test]
    fn a_seed_decides_and_streams_differ() {
        let draw = |seed, stream| Random::new(seed, stream).next();
        assert_eq!(draw(1, 2), draw(1, 2));
        assert_ne!(draw(1, 2), draw(1, 3));
        assert_ne!(draw(1, 2), draw(2, 2));
        let mut random = Random::new(7, 7);
        let mean = (0..10_000).map(|_| random.unit()).sum::<f64>() / 10_000.0;
        assert!((mean - 0.5).abs() < 0.02, "{mean}");
        assert!((0..1000).all(|_| random.below(3) < 3));
    }

    #[test]
    fn uuids_are_printed_and_read() {
        let id = Random::new(1, 1).uuid();
        let mut text = String::new();
        write::uuid(&mut text, id);
        assert_eq!((text.len(), &text[14..15]), (36, "4"));
        assert!("89ab".contains(&text[19..20]), "{text}");
        assert_eq!(Uuid::parse(&text), Some(id));
        for bad in [
            "",
            "x",
            &text[1..],
            &text.replace('4', "g"),
            &"-".repeat(36),
        ] {
            assert_eq!(Uuid::parse(bad), None);
        }
    }
}
