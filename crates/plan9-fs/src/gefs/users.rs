//! User table: the file `users` of the snapshot adm, as gefs reads it
//! (`/sys/src/cmd/gefs/user.c`).

use std::collections::BTreeMap;

/// Longest file that gefs reads, in bytes.
pub(super) const MAX_FILE: u64 = (1 << 20) - 1;
/// Longest name that a file can be given to.
const MAX_NAME: usize = 64;
const NONE: i32 = 0;

/// Names and numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Users {
    by_id: BTreeMap<i32, String>,
    by_name: BTreeMap<String, i32>,
}

impl Users {
    /// Reads the file.
    ///
    /// # Errors
    /// Reason why gefs would not start with it.
    pub fn parse(text: &[u8]) -> Result<Self, String> {
        let text = String::from_utf8_lossy(text);
        // A last line without a line end is not read.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let lines = whole.split('\n').zip(1..).filter(|(l, _)| !l.is_empty() && !l.starts_with('#'));
        let mut users = Self::default();
        let mut groups = Vec::new();
        for (line, n) in lines {
            let f: Vec<_> = line.splitn(4, ':').collect();
            let [id, name, leader, members] = f[..] else {
                return Err(format!("line {n} is not number:name:leader:members, but {line:?}"));
            };
            let id: i32 = id.trim().parse().map_err(|_| format!("line {n}: {id:?} is not a number"))?;
            if name.is_empty() || name.len() > MAX_NAME {
                return Err(format!("line {n}: a name has 1 to {MAX_NAME} bytes, not {}", name.len()));
            }
            // Of two lines gefs takes the first.
            users.by_id.entry(id).or_insert_with(|| name.into());
            users.by_name.entry(name.into()).or_insert(id);
            groups.push((n, leader, members));
        }
        for (n, leader, members) in groups {
            let known = |what: &str, name: &str| match users.by_name.get(name) {
                Some(id) => Ok(*id),
                None => Err(format!("line {n}: the {what} {name} does not exist")),
            };
            if !leader.is_empty() && known("leader", leader)? == NONE {
                return Err(format!("line {n}: none cannot be a leader"));
            }
            members.split(',').filter(|m| !m.is_empty()).try_for_each(|m| known("member", m).map(drop))?;
        }
        Ok(users)
    }

    /// The number of a name, which may be a number itself.
    pub fn id(&self, name: &str) -> Option<i32> {
        self.by_name.get(name).copied().or_else(|| name.parse().ok())
    }

    /// Whether somebody has a number.
    pub fn has(&self, id: i32) -> bool {
        self.by_id.contains_key(&id)
    }

    /// The name of a number.
    pub fn name(&self, id: i32) -> String {
        self.by_id.get(&id).cloned().unwrap_or_else(|| id.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_installers_file_is_read() {
        let u = Users::parse(b"# who\n-1:adm:adm:bob\n0:none::\n2:bob:bob:\n\n10000:sys::bob,adm\nnot a line").unwrap();
        assert_eq!((u.id("adm"), u.id("sys"), u.id("moe"), u.id("12")), (Some(-1), Some(10_000), None, Some(12)));
        assert_eq!((u.name(2), u.name(99)), ("bob".into(), "99".into()));
        assert_eq!(Users::parse(b""), Ok(Users::default()));
    }

    #[test]
    fn what_gefs_does_not_start_with_is_refused() {
        for (text, why) in [
            ("1:a::\n2:b\n", "line 2 is not number:name:leader:members, but \"2:b\""),
            ("x:a::\n", "line 1: \"x\" is not a number"),
            ("1:a:b:\n", "line 1: the leader b does not exist"),
            ("0:none::\n1:a:none:\n", "line 2: none cannot be a leader"),
            ("1:a::a,c\n", "line 1: the member c does not exist"),
            ("1:::\n", "line 1: a name has 1 to 64 bytes, not 0"),
        ] {
            assert_eq!(Users::parse(text.as_bytes()), Err(why.into()));
        }
    }
}
