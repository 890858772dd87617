//! Dead letters in a queue of a broker.
//!
//! A queue is read by taking its letters and giving them back, in order; what another reads at the same
//! time is not seen. The broker counts that as a delivery: a queue of dead letters has no delivery limit.

use std::collections::HashSet;
use std::sync::Arc;

use super::{Found, Kept, Letters, Mark, Place, Shelf};
use crate::failure::Failure;
use crate::layer::Queued;

/// Dead letters in a queue.
pub struct LetterQueue(Arc<dyn Queued>);

impl LetterQueue {
    /// Over the queue of a sink.
    pub fn new(queue: Arc<dyn Queued>) -> Self {
        Self(queue)
    }
}

impl Shelf for LetterQueue {
    fn name(&self) -> String {
        self.0.name()
    }

    fn letters(&self) -> Result<Letters, Failure> {
        let (bodies, name) = (self.0.read()?, self.0.name());
        Ok(Box::new((1..).zip(bodies).map(move |(line, body)| {
            Ok(match Kept::parse(&body) {
                Some(mut kept) => {
                    kept.place = Place {
                        shelf: name.clone(),
                        line,
                    };
                    Found::Letter(Box::new(kept))
                }
                None => Found::Other(line),
            })
        })))
    }

    fn remove(&self, gone: &HashSet<Mark>) -> Result<u64, Failure> {
        if gone.is_empty() {
            return Ok(0);
        }
        self.0.remove(&|body| gone.contains(&Mark::of(body)))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    struct Bodies(Mutex<Vec<Vec<u8>>>);

    impl Queued for Bodies {
        fn name(&self) -> String {
            "letters".to_owned()
        }

        fn read(&self) -> Result<Vec<Vec<u8>>, Failure> {
            Ok(self.0.lock().unwrap().clone())
        }

        fn remove(&self, gone: &dyn Fn(&[u8]) -> bool) -> Result<u64, Failure> {
            let mut bodies = self.0.lock().unwrap();
            let before = bodies.len();
            bodies.retain(|body| !gone(body));
            Ok((before - bodies.len()) as u64)
        }
    }

    #[test]
    fn letters_are_found_in_their_places_and_only_those_meant_are_removed() {
        let letter =
            |n: u32| format!(r#"{{"id":"{n}","reason":"schema","node":"crm"}}"#).into_bytes();
        let bodies = vec![letter(1), b"no letter".to_vec(), letter(2)];
        let queue = LetterQueue::new(Arc::new(Bodies(Mutex::new(bodies))));
        let found: Vec<_> = queue.letters().unwrap().map(Result::unwrap).collect();
        let [Found::Letter(first), Found::Other(2), Found::Letter(last)] = &found[..] else {
            panic!("two letters and something else");
        };
        assert_eq!((first.place.line, last.place.line), (1, 3));
        assert_eq!(
            (first.place.shelf.as_str(), last.id.as_str()),
            ("letters", "2")
        );
        assert_eq!(queue.remove(&HashSet::from([last.mark])).unwrap(), 1);
        assert_eq!(queue.letters().unwrap().count(), 2);
    }
}
