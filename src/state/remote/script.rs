//! Names and scripts. Every script means the same when it is run twice.

use std::time::Duration;

use redis::Cmd;

use super::Op;
use crate::failure::Failure;
use crate::state::pending::{Group, Noted};
use crate::state::stored;

/// How long the number of a worker's last commit is kept after it.
const WORKER: Duration = Duration::from_secs(24 * 3600);

/// Changes are made one after the other behind a number: a commit that was sent again, or comes
/// late from a connection that was given up, finds it and does nothing. Where memory is full the
/// first write is refused, before anything is changed.
const COMMIT: &str = r#"
local last = redis.call('GET', KEYS[1])
if last and tonumber(last) >= tonumber(ARGV[1]) then return 0 end
redis.call('SET', KEYS[1], last or '0', 'PX', ARGV[2])
local function newer(value, present)
  if not present or string.byte(present) ~= 1 then return true end
  local high, low = struct.unpack('>I4I4', value, 2)
  local before, below = struct.unpack('>I4I4', present, 2)
  return high > before or (high == before and low > below)
end
local a = 3
for k = 2, #KEYS do
  local key, kind, field, value, px = KEYS[k], ARGV[a], ARGV[a + 1], ARGV[a + 2], ARGV[a + 3]
  a = a + 4
  if px == '' then
    if kind == 'put' then redis.call('HSET', key, field, value)
    elseif kind == 'delete' then redis.call('HDEL', key, field)
    else
      local present = redis.call('HGET', key, field)
      if kind == 'newer' then
        if newer(value, present) then redis.call('HSET', key, field, value) end
      elseif present and not (string.byte(present) == 1 and newer(present, value)) then
        redis.call('HDEL', key, field)
      end
    end
  elseif kind == 'put' then redis.call('SET', key, value, 'PX', px)
  elseif kind == 'delete' then redis.call('DEL', key)
  else
    local present = redis.call('GET', key)
    if kind == 'newer' then
      if newer(value, present) then redis.call('SET', key, value, 'PX', px) end
    elseif present and not (string.byte(present) == 1 and newer(present, value)) then
      redis.call('DEL', key)
    end
  end
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"#;

/// 0: free, and now ours. 1: delivered. 2: another's.
const CLAIM: &str = r#"
local found = {}
for k = 1, #KEYS do
  local present = redis.call('GET', KEYS[k])
  if not present or present == ARGV[1] then
    redis.call('SET', KEYS[k], ARGV[1], 'PX', ARGV[2])
    found[k] = 0
  elseif string.sub(present, 1, 1) == 'c' then found[k] = 2
  else found[k] = 1 end
end
return found
"#;

/// What was claimed is delivered, and not committed yet.
const MARK: &str = r#"
for k = 1, #KEYS do
  local present = redis.call('GET', KEYS[k])
  if not present or present == ARGV[1] then
    redis.call('SET', KEYS[k], ARGV[2], 'PX', ARGV[3])
  end
end
return 0
"#;

const GIVE_BACK: &str = r#"
for k = 1, #KEYS do
  local present = redis.call('GET', KEYS[k])
  if present == ARGV[1] or present == ARGV[2] then redis.call('DEL', KEYS[k]) end
end
return 0
"#;

const REFRESH: &str = r#"
for k = 1, #KEYS do
  local present = redis.call('GET', KEYS[k])
  if present and string.sub(present, 2) == ARGV[k + 1] then redis.call('PEXPIRE', KEYS[k], ARGV[1]) end
end
return 0
"#;

/// Names one run of one worker.
pub(super) struct Owner([u8; 16]);

/// What stands in the row of a key that is claimed, behind a letter for how far its event is.
#[derive(Clone, Copy)]
pub(super) struct Token([u8; 24]);

impl Owner {
    pub fn new() -> Result<Self, Failure> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).map_err(|error| {
            let text = format!("the system has no randomness: {error}");
            Failure::fatal("no_randomness", text)
        })?;
        Ok(Self(bytes))
    }

    /// The token of this worker's claim of this number.
    pub fn claim(&self, number: u64) -> Token {
        let mut token = [0; 24];
        token[..16].copy_from_slice(&self.0);
        token[16..].copy_from_slice(&number.to_be_bytes());
        Token(token)
    }
}

impl Token {
    fn claimed(self) -> Vec<u8> {
        [b"c", &self.0[..]].concat()
    }

    fn delivered(self) -> Vec<u8> {
        [b"d", &self.0[..]].concat()
    }
}

/// The names of all keys of a pipeline.
pub(super) struct Names {
    tag: String,
}

impl Names {
    pub fn new(prefix: &str, pipeline: &str) -> Self {
        let tag = format!("{{{prefix}:{pipeline}}}");
        Self { tag }
    }

    pub fn meta(&self) -> String {
        format!("{}:meta", self.tag)
    }

    pub fn places(&self, source: &str) -> Vec<u8> {
        format!("{}:places:{source}", self.tag).into_bytes()
    }

    pub fn rows(&self, node: &str) -> Vec<u8> {
        format!("{}:rows:{node}", self.tag).into_bytes()
    }

    /// A row with a key of its own. Names of nodes hold no colon.
    pub fn row(&self, node: &str, key: &[u8]) -> Vec<u8> {
        let mut name = format!("{}:row:{node}:", self.tag).into_bytes();
        name.extend_from_slice(key);
        name
    }

    fn worker(&self, owner: &Owner) -> Vec<u8> {
        let mut name = format!("{}:worker:", self.tag).into_bytes();
        name.extend_from_slice(&owner.0);
        name
    }
}

/// Everything in these groups; `None` where there is nothing.
pub(super) fn commit(names: &Names, owner: &Owner, number: u64, groups: &[Group]) -> Option<Cmd> {
    let changes: usize = groups.iter().map(Group::len).sum();
    let places: usize = groups.iter().map(|group| group.checkpoints.len()).sum();
    if changes + places == 0 {
        return None;
    }
    let mut cmd = eval(COMMIT, 1 + changes + places);
    cmd.arg(names.worker(owner));
    for group in groups {
        for Noted { node, op, expiry } in group.noted() {
            match expiry {
                Some(_) => cmd.arg(names.row(node, op.key())),
                None => cmd.arg(names.rows(node)),
            };
        }
        for (source, _) in &group.checkpoints {
            cmd.arg(names.places(source));
        }
    }
    cmd.arg(number).arg(WORKER.as_millis() as u64);
    for group in groups {
        group.noted().for_each(|noted| change(&mut cmd, noted));
        for (_, place) in &group.checkpoints {
            let kind = if place.value.is_empty() {
                "delete"
            } else {
                "put"
            };
            cmd.arg(kind).arg(&place.key).arg(&place.value).arg("");
        }
    }
    Some(cmd)
}

fn change(cmd: &mut Cmd, Noted { op, expiry, .. }: &Noted) {
    let (kind, value) = match op {
        Op::Put { value, .. } => ("put", stored(None, value)),
        Op::PutNewer { version, value, .. } => ("newer", stored(Some(*version), value)),
        Op::Delete { .. } => ("delete", Vec::new()),
        Op::DeleteOlder { version, .. } => ("older", stored(Some(*version), b"")),
    };
    cmd.arg(kind).arg(op.key()).arg(value);
    match expiry {
        Some(expiry) => cmd.arg(milliseconds(*expiry)),
        None => cmd.arg(""),
    };
}

pub(super) fn claim(
    names: &Names,
    node: &str,
    token: Token,
    keys: &[[u8; 16]],
    lease: Duration,
) -> Cmd {
    let mut cmd = on_rows(CLAIM, names, node, keys);
    cmd.arg(token.claimed()).arg(milliseconds(lease));
    cmd
}

pub(super) fn mark(
    names: &Names,
    node: &str,
    token: Token,
    keys: &[[u8; 16]],
    lease: Duration,
) -> Cmd {
    let mut cmd = on_rows(MARK, names, node, keys);
    cmd.arg(token.claimed());
    cmd.arg(token.delivered()).arg(milliseconds(lease));
    cmd
}

pub(super) fn give_back(names: &Names, node: &str, token: Token, keys: &[[u8; 16]]) -> Cmd {
    let mut cmd = on_rows(GIVE_BACK, names, node, keys);
    cmd.arg(token.claimed()).arg(token.delivered());
    cmd
}

/// Lengthens what these claims have; keys are not all of one node.
pub(super) fn refresh(
    names: &Names,
    keys: &[(std::sync::Arc<str>, [u8; 16], Token)],
    lease: Duration,
) -> Cmd {
    let mut cmd = eval(REFRESH, keys.len());
    for (node, key, _) in keys {
        cmd.arg(names.row(node, key));
    }
    cmd.arg(milliseconds(lease));
    for (_, _, token) in keys {
        cmd.arg(&token.0[..]);
    }
    cmd
}

fn on_rows(script: &str, names: &Names, node: &str, keys: &[[u8; 16]]) -> Cmd {
    let mut cmd = eval(script, keys.len());
    for key in keys {
        cmd.arg(names.row(node, key));
    }
    cmd
}

fn eval(script: &str, keys: usize) -> Cmd {
    let mut cmd = redis::cmd("EVAL");
    cmd.arg(script).arg(keys);
    cmd
}

/// Redis refuses an expiry of nothing, and one that its clock cannot hold.
fn milliseconds(time: Duration) -> u64 {
    let most = 100 * 365 * 24 * 3600 * 1000;
    u64::try_from(time.as_millis()).map_or(most, |time| time.clamp(1, most))
}
