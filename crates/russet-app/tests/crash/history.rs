//! What was asked for and answered, and whether what is found afterwards agrees with it.

use std::collections::{BTreeMap, BTreeSet};

/// How a write ended for its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was acknowledged: it must be there from now on.
    Done,
    /// It was refused: it must not be there.
    Refused,
    /// There was no answer, or one that says that it is not known: both is right.
    Unknown,
}

/// All writes of a run. One caller at a time writes a user; anybody counts.
#[derive(Debug, Default)]
pub struct History {
    users: BTreeMap<i64, Record>,
    /// Names of users that were sent once and not acknowledged.
    unknown_users: BTreeSet<String>,
    counts: BTreeMap<String, Count>,
    /// Writes that were acknowledged.
    pub acknowledged: u64,
    /// Writes whose fate was unknown.
    pub unknown: u64,
}

#[derive(Debug, Default)]
struct Record {
    acknowledged: String,
    /// Names that were sent after it and not acknowledged.
    in_flight: Vec<String>,
}

#[derive(Debug, Default)]
struct Count {
    acknowledged: u64,
    unknown: u64,
}

/// What the application says it has.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// The users by id, as they stand in SQL.
    pub users: BTreeMap<i64, String>,
    /// Some of them as look-ups answer, which ask the cache first.
    pub looked_up: BTreeMap<i64, Option<String>>,
    /// The counts by name.
    pub counts: BTreeMap<String, u64>,
}

impl History {
    /// A user was sent to be made; `id` is the answer.
    pub fn create(&mut self, name: &str, outcome: Outcome, id: Option<i64>) {
        self.tally(outcome);
        match (outcome, id) {
            (Outcome::Done, Some(id)) => {
                self.users
                    .insert(id, Record { acknowledged: name.to_owned(), in_flight: Vec::new() });
            }
            (Outcome::Unknown, _) => {
                self.unknown_users.insert(name.to_owned());
            }
            _ => {}
        }
    }

    /// A user was sent to be replaced.
    pub fn replace(&mut self, id: i64, name: &str, outcome: Outcome) {
        self.tally(outcome);
        let record = self.users.entry(id).or_default();
        match outcome {
            Outcome::Done => {
                *record = Record { acknowledged: name.to_owned(), in_flight: Vec::new() }
            }
            Outcome::Unknown => record.in_flight.push(name.to_owned()),
            Outcome::Refused => {}
        }
    }

    /// One was to be added to a count.
    pub fn count(&mut self, name: &str, outcome: Outcome) {
        self.tally(outcome);
        let count = self.counts.entry(name.to_owned()).or_default();
        match outcome {
            Outcome::Done => count.acknowledged += 1,
            Outcome::Unknown => count.unknown += 1,
            Outcome::Refused => {}
        }
    }

    fn tally(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Done => self.acknowledged += 1,
            Outcome::Unknown => self.unknown += 1,
            Outcome::Refused => {}
        }
    }

    /// Every contradiction between what was answered and what is found. Call it when no write is under way: what is
    /// found is taken as what happened from then on, so that nothing may come or go later.
    pub fn check(&mut self, found: &Found) -> Vec<String> {
        let mut wrong = Vec::new();
        for (id, record) in &mut self.users {
            match found.users.get(id) {
                Some(name) if *name == record.acknowledged || record.in_flight.contains(name) => {
                    *record = Record { acknowledged: name.clone(), in_flight: Vec::new() };
                }
                other => wrong.push(format!("user {id} is {other:?} and not as in {record:?}")),
            }
        }
        for (id, name) in &found.users {
            if !self.users.contains_key(id) {
                if self.unknown_users.remove(name) {
                    let record = Record { acknowledged: name.clone(), in_flight: Vec::new() };
                    self.users.insert(*id, record);
                } else {
                    wrong.push(format!("user {id}, {name:?}, was never made, or twice"));
                }
            }
        }
        self.unknown_users.clear();
        for (id, name) in &found.looked_up {
            let stored = found.users.get(id);
            if name.as_ref() != stored {
                wrong.push(format!(
                    "a look-up of user {id} brings {name:?}, and {stored:?} is stored"
                ));
            }
        }
        for (name, count) in &mut self.counts {
            let least = count.acknowledged;
            let most = least + count.unknown;
            let is = found.counts.get(name).copied().unwrap_or_default();
            if !(least..=most).contains(&is) {
                wrong.push(format!("{name} is {is}, and {least} to {most} were counted"));
            }
            *count = Count { acknowledged: is, unknown: 0 };
        }
        wrong
    }
}

/// A history with one of everything acknowledged and one of everything unknown, and what may be found after it.
#[cfg(test)]
fn example() -> (History, Found) {
    let mut history = History::default();
    history.create("first", Outcome::Done, Some(1));
    history.create("lost reply", Outcome::Unknown, None);
    history.create("refused", Outcome::Refused, None);
    history.replace(1, "second", Outcome::Done);
    history.replace(1, "third", Outcome::Unknown);
    for outcome in [Outcome::Done, Outcome::Done, Outcome::Unknown, Outcome::Refused] {
        history.count("views", outcome);
    }
    let mut found = Found::default();
    found.users.insert(1, "second".to_owned());
    found.counts.insert("views".to_owned(), 2);
    (history, found)
}

#[test]
fn what_was_acknowledged_is_right_with_or_without_what_is_unknown() {
    let (mut history, found) = example();
    assert_eq!((history.acknowledged, history.unknown), (4, 3));
    assert_eq!(history.check(&found), [""; 0]);
    let (mut history, mut found) = example();
    found.users.insert(1, "third".to_owned());
    found.users.insert(2, "lost reply".to_owned());
    found.counts.insert("views".to_owned(), 3);
    assert_eq!(history.check(&found), [""; 0]);
}

#[test]
fn each_kind_of_loss_is_noticed() {
    fn named(found: &mut Found, id: i64, name: &str) {
        found.users.insert(id, name.to_owned());
    }
    fn counted(found: &mut Found, views: u64) {
        found.counts.insert("views".to_owned(), views);
    }
    type Loss = (&'static str, fn(&mut Found));
    let losses: [Loss; 8] = [
        ("a user is gone", |found| found.users.clear()),
        ("an old name is back", |found| named(found, 1, "first")),
        ("a count is too low", |found| counted(found, 1)),
        ("a count is gone", |found| found.counts.clear()),
        ("a count is too high", |found| counted(found, 4)),
        ("a refused user is there", |found| named(found, 2, "refused")),
        ("a user was made twice", |found| {
            named(found, 2, "lost reply");
            named(found, 3, "lost reply");
        }),
        ("an old copy is cached", |found| {
            found.looked_up.insert(1, Some("first".to_owned()));
        }),
    ];
    for (what, lose) in losses {
        let (mut history, mut found) = example();
        lose(&mut found);
        assert_eq!(history.check(&found).len(), 1, "{what}");
    }
}

#[test]
fn what_was_not_there_at_one_check_may_not_come_later() {
    let (mut history, mut found) = example();
    assert_eq!(history.check(&found), [""; 0]);
    found.users.insert(1, "third".to_owned());
    found.users.insert(2, "lost reply".to_owned());
    found.counts.insert("views".to_owned(), 3);
    assert_eq!(history.check(&found).len(), 3);
}
