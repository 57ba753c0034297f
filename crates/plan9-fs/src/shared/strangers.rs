//! Owners whom the volume's list of users does not have: one remark for each,
//! however many files are theirs. A user may have been removed, so this is no
//! damage.

use super::count;
use crate::Finding;
use std::collections::BTreeMap;

/// Most owners that are told apart.
const MOST: usize = 200;

/// Owners without a user: the first file of each, and how many there are.
#[derive(Default)]
pub(crate) struct Strangers {
    met: BTreeMap<String, (String, u64)>,
    more: u64,
}

impl Strangers {
    /// Takes note of an owner of the file at `path`, once for each file.
    pub(crate) fn meet<'a>(&mut self, path: &str, owners: impl IntoIterator<Item = &'a str>) {
        let mut here: Vec<&str> = owners.into_iter().collect();
        here.sort_unstable();
        here.dedup();
        for who in here {
            if let Some((_, files)) = self.met.get_mut(who) {
                *files += 1;
            } else if self.met.len() < MOST {
                self.met.insert(who.to_owned(), (path.to_owned(), 1));
            } else {
                self.more += 1;
            }
        }
    }

    /// Reports them; `users` says where a user would be.
    pub(crate) fn report(self, users: &str, report: &mut dyn FnMut(Finding)) {
        for (who, (path, files)) in self.met {
            let files = count(files, "file names", "files name");
            let message = format!("Owner {who:?} is not in {users}; {files} it, the first is {path}");
            report(Finding { kind: "nobody", message });
        }
        if self.more > 0 {
            let more = count(self.more, "file has", "files have");
            let message = format!("{more} other owners that are not in {users}");
            report(Finding { kind: "nobody", message });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_is_reported_once_and_not_without_end() {
        let mut all = Strangers::default();
        all.meet("/a", ["eve", "eve", "bob"]);
        all.meet("/b", ["eve"]);
        (0..300).for_each(|i| all.meet("/c", [format!("{i}").as_str()]));
        let mut out = Vec::new();
        all.report("/adm/users", &mut |f| out.push(f.to_string()));
        assert_eq!(out.len(), MOST + 1);
        let eve = "Owner \"eve\" is not in /adm/users; 2 files name it, the first is /a [nobody]";
        assert!(out.iter().any(|f| f == eve), "{out:?}");
        let bob = "Owner \"bob\" is not in /adm/users; 1 file names it, the first is /a [nobody]";
        assert!(out.iter().any(|f| f == bob), "{out:?}");
        assert_eq!(out[MOST], "102 files have other owners that are not in /adm/users [nobody]");
    }
}
