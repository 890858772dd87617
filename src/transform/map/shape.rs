//! The object that a mapping makes: its fields in the order of the file, nested by their paths.

use compact_str::CompactString;

use crate::event::{Path, Segment, json_str};

/// An object of the output.
#[derive(Clone, Debug, Default)]
pub(super) struct Shape(Vec<(CompactString, Member)>);

#[derive(Clone, Debug)]
enum Member {
    /// The number of the field that is written here.
    Field(usize),
    Object(Shape),
}

/// Appends the value of the field of that number, or answers `false` where there is none.
pub(super) type Write<'w, E> = &'w mut dyn FnMut(usize, &mut Vec<u8>) -> Result<bool, E>;

impl Shape {
    /// Puts a field at a path of names; `false` when another field is there, above or below it.
    pub(super) fn insert(&mut self, path: &Path, field: usize) -> bool {
        let keys = path.segments().iter().filter_map(|segment| match segment {
            Segment::Key(key) => Some(json_str(key)),
            _ => None,
        });
        let keys: Vec<_> = keys.collect();
        let Some((last, parents)) = keys.split_last() else {
            return false;
        };
        let mut shape = self;
        for key in parents {
            match shape.object(key) {
                Some(object) => shape = object,
                None => return false,
            }
        }
        let is_free = shape.0.iter().all(|(key, _)| key != last);
        if is_free {
            shape.0.push((last.clone(), Member::Field(field)));
        }
        is_free
    }

    fn object(&mut self, key: &CompactString) -> Option<&mut Shape> {
        let at = match self.0.iter().position(|(name, _)| name == key) {
            Some(at) => at,
            None => {
                let object = Member::Object(Shape::default());
                self.0.push((key.clone(), object));
                self.0.len() - 1
            }
        };
        match &mut self.0[at].1 {
            Member::Object(shape) => Some(shape),
            Member::Field(_) => None,
        }
    }

    /// Appends the object. `write` appends a field's value, or answers `false` where there is none;
    /// an inner object without any field is left out as well.
    pub(super) fn write<E>(&self, out: &mut Vec<u8>, write: Write<'_, E>) -> Result<(), E> {
        self.members(out, write).map(|_| ())
    }

    fn members<E>(&self, out: &mut Vec<u8>, write: Write<'_, E>) -> Result<bool, E> {
        let mut any = false;
        out.push(b'{');
        for (key, member) in &self.0 {
            let before = out.len();
            if any {
                out.push(b',');
            }
            out.extend_from_slice(key.as_bytes());
            out.push(b':');
            let there = match member {
                Member::Field(number) => write(*number, out)?,
                Member::Object(shape) => shape.members(out, write)?,
            };
            match there {
                true => any = true,
                false => out.truncate(before),
            }
        }
        out.push(b'}');
        Ok(any)
    }
}
