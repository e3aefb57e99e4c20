//! The only door to the topics' Lua.

use super::{message_id::MessageId, topic::Inner};
use crate::{
    client::Call,
    error::{Error, Result},
    script::{Script, script},
};

static PUBLISH: Script = script!("pubsub/publish", include "now_ms");
static CREATE: Script = script!("pubsub/create", include "named");
static CLAIM: Script = script!("pubsub/claim", flags "allow-oom");
static WAIT: Script = script!("pubsub/wait", include "named");
static ACK: Script = script!("pubsub/ack", flags "allow-oom");
static EXTEND: Script = script!("pubsub/extend", flags "allow-oom");
static LEAVE: Script = script!("pubsub/leave", flags "allow-oom");
static SWEEP: Script = script!("pubsub/sweep", include "named", flags "allow-oom");
static SEEK: Script = script!("pubsub/seek", include "named");
static REMOVE: Script = script!("pubsub/remove", flags "allow-oom");
static STATS: Script = script!("pubsub/stats", include "named", flags "no-writes");

pub(super) fn publish<C>(topic: &Inner<C>, body: &[u8]) -> Call {
    Call::script(&PUBLISH, &topic.slot, &[&topic.log, &topic.waiters])
        .arg(super::record::VERSION)
        .arg(body)
        .arg(topic.keep_ms)
        .arg(topic.keep_at_most.unwrap_or(0))
}

/// Done twice, the group is there.
pub(super) fn create<C>(topic: &Inner<C>, group: &str, position: &str) -> Call {
    let call = Call::script(&CREATE, &topic.slot, &[&topic.log]);
    call.arg(group).arg(position).arg(topic.keep_ms).idempotent()
}

/// A claim whose answer is lost is not repeated: those messages come back when their lease ends.
pub(super) fn claim<C>(
    topic: &Inner<C>,
    group: &str,
    consumer: &str,
    most: usize,
    reclaim: Option<(u64, &str)>,
) -> Call {
    let (lease_ms, cursor) = reclaim.unwrap_or((0, ""));
    let call = Call::script(&CLAIM, &topic.slot, &[&topic.log]);
    call.arg(group).arg(consumer).arg(most).arg(lease_ms).arg(cursor)
}

/// Done twice, the waiter is recorded.
pub(super) fn wait<C>(
    topic: &Inner<C>,
    group: &str,
    consumer: &str,
    waiter: &str,
    ttl_ms: u64,
) -> Call {
    let call = Call::script(&WAIT, &topic.slot, &[&topic.log, &topic.waiters]);
    call.arg(group).arg(consumer).arg(waiter).arg(ttl_ms).idempotent()
}

pub(super) fn ack<C>(
    topic: &Inner<C>,
    group: &str,
    consumer: &str,
    id: MessageId,
    deliveries: u64,
) -> Call {
    let call = Call::script(&ACK, &topic.slot, &[&topic.log]);
    call.arg(group).arg(consumer).arg(id.to_string()).arg(deliveries)
}

/// Done twice, the lease begins anew.
pub(super) fn extend<C>(
    topic: &Inner<C>,
    group: &str,
    consumer: &str,
    id: MessageId,
    deliveries: u64,
) -> Call {
    let call = Call::script(&EXTEND, &topic.slot, &[&topic.log]);
    call.arg(group).arg(consumer).arg(id.to_string()).arg(deliveries).idempotent()
}

/// Done twice, the consumer is gone.
pub(super) fn leave<C>(topic: &Inner<C>, group: &str, consumer: &str) -> Call {
    let call = Call::script(&LEAVE, &topic.slot, &[&topic.log, &topic.waiters]);
    call.arg(group).arg(consumer).idempotent()
}

/// Done twice, they are gone.
pub(super) fn sweep<C>(topic: &Inner<C>, group: &str, idle_ms: u64) -> Call {
    Call::script(&SWEEP, &topic.slot, &[&topic.log]).arg(group).arg(idle_ms).idempotent()
}

pub(super) fn seek<C>(topic: &Inner<C>, group: &str, position: &str) -> Call {
    Call::script(&SEEK, &topic.slot, &[&topic.log]).arg(group).arg(position)
}

pub(super) fn remove<C>(topic: &Inner<C>, group: &str) -> Call {
    Call::script(&REMOVE, &topic.slot, &[&topic.log]).arg(group)
}

pub(super) fn stats<C>(topic: &Inner<C>) -> Call {
    Call::script(&STATS, &topic.slot, &[&topic.log])
}

/// The id that the server gave.
pub(super) fn id(text: &str) -> Result<MessageId> {
    text.parse().map_err(|_| Error::internal("the server gave a message an id of another form"))
}

#[cfg(test)]
mod tests {
    use std::{io, time::Duration};

    use super::*;
    use crate::testing::{Reply, TestServer};

    /// A line of a script, what stands in its place, what is done, and what is seen of it with the line.
    struct Mutant {
        of: &'static Script,
        from: &'static str,
        to: &'static str,
        steps: &'static str,
        seen: &'static str,
    }

    const fn left_out(
        of: &'static Script,
        from: &'static str,
        steps: &'static str,
        seen: &'static str,
    ) -> Mutant {
        changed(of, from, "", steps, seen)
    }

    const fn changed(
        of: &'static Script,
        from: &'static str,
        to: &'static str,
        steps: &'static str,
        seen: &'static str,
    ) -> Mutant {
        Mutant { of, from, to, steps, seen }
    }

    /// Five messages, 1-0 to 5-0, and a group that begins with the first.
    const FIVE: &str = "five; XGROUP CREATE log g 0-0";

    fn mutants() -> Vec<Mutant> {
        // The consumer b takes, as the first time, what a had from an earlier group of this name.
        let anew = "five; XGROUP CREATE log g 0-0; claim g a 1 0 -; XGROUP DESTROY log g; XGROUP CREATE log g 0-0; claim g b 1 0 -;";
        let again = "five; XGROUP CREATE log g 0-0; claim g a 1 0 -; pause; claim g a 1 1 0-0;";
        let steps = |begin: &str, end: &str| -> &'static str { [begin, end].concat().leak() };
        let ack = steps(anew, "see ack g a 1-0 1; see count");
        let extend = steps(anew, "see extend g a 1-0 1; see owner");
        let late_ack = steps(again, "see ack g a 1-0 1; see ack g a 1-0 2");
        let late_extend = steps(again, "see extend g a 1-0 1; see extend g a 1-0 2");
        let five = |end| steps(FIVE, end);
        vec![
            changed(&ACK, ", 1, ARGV[2])", ", 1)", ack, "0 1"),
            changed(&ACK, " or pending[4] ~= tonumber(ARGV[4])", "", late_ack, "0 1"),
            changed(&EXTEND, ", 1, ARGV[2])", ", 1)", extend, "0 b"),
            changed(&EXTEND, " or pending[4] ~= tonumber(ARGV[4])", "", late_extend, "0 1"),
            changed(
                &CLAIM,
                "if #taken < most then",
                "if true then",
                five("; claim g a 2 0 -; pause; see claim g b 2 1 0-0; see count"),
                "0-0,0,1-0,2,v,1,2-0,2,v,1 2",
            ),
            changed(
                &CLAIM,
                "local count = most - #taken",
                "local count = most",
                five("; claim g a 1 0 -; pause; claim g b 2 1 0-0; see count"),
                "2",
            ),
            changed(
                &CLAIM,
                "dropped = look[1], #look[3]",
                "dropped = look[1], 0",
                five("; claim g a 1 0 -; XDEL log 1-0; pause; see claim g b 1 1 0-0"),
                "0-0,1,2-0,1,v,1",
            ),
            changed(
                &CLAIM,
                "ended, dropped = look[1], #look[3]",
                "dropped = #look[3]",
                five("; claim g a 2 0 -; pause; see claim g b 1 1 0-0"),
                "2-0,0,1-0,2,v,1",
            ),
            changed(
                &CREATE,
                "(position == '$' and 0 or stream.length)",
                "stream.length",
                "five; create g $ 9000; XADD log 6-0 v 1; see stats",
                "6,g,0,0,1",
            ),
            changed(
                &CREATE,
                "(position == '$' and 0 or stream.length)",
                "0",
                "five; XTRIM log MAXLEN 3; create g 0-0 9000; see stats",
                "3,g,0,0,3",
            ),
            left_out(
                &CREATE,
                "  passed = stream['entries-added'] - (position == '$' and 0 or stream.length)\n",
                "five; XTRIM log MAXLEN 3; create g 0-0 9000; see stats",
                "3,g,0,0,3",
            ),
            left_out(
                &CREATE,
                "if position ~= '$' and position ~= '0-0' then passed = -1 end",
                "five; create g 3-0 9000; see stats",
                "5,g,0,0,-1",
            ),
            changed(
                &CREATE,
                "if redis.call('PTTL', KEYS[1]) < 0 then",
                "if true then",
                "five; PEXPIRE log 90000; create g $ 10; see lives log",
                "true",
            ),
            left_out(
                &LEAVE,
                "redis.call('HDEL', KEYS[2], ARGV[2])\n",
                five(
                    "; XGROUP CREATECONSUMER log g a; HSET waiters a x; see leave g a; see HLEN waiters",
                ),
                "1 0",
            ),
            left_out(
                &LEAVE,
                "redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2])\n",
                five("; XGROUP CREATECONSUMER log g a; see leave g a; see stats"),
                "1 5,g,0,0,5",
            ),
            left_out(
                &PUBLISH,
                "redis.call('PEXPIRE', KEYS[1], ARGV[3])\n",
                "publish 1 x 90000 0; PEXPIRE log 3000; publish 1 x 90000 0; see lives log",
                "true",
            ),
            left_out(
                &PUBLISH,
                "if #consumers > 0 then redis.call('HDEL', KEYS[2], unpack(consumers)) end",
                "HSET waiters a x; publish 1 x 90000 0; see HLEN waiters",
                "0",
            ),
            changed(
                &PUBLISH,
                "if channel then",
                "if true then",
                "HSET waiters a nonsense; publish 1 x 90000 0; see XLEN log",
                "1",
            ),
            changed(
                &PUBLISH,
                "KEYS[2], 1000, 'WITHVALUES'",
                "KEYS[2], 1, 'WITHVALUES'",
                "HSET waiters a x b y; publish 1 x 90000 0; see HLEN waiters",
                "0",
            ),
            changed(
                &PUBLISH,
                "math.max(now_ms() - ARGV[3], 0)",
                "now_ms() - ARGV[3]",
                "publish 1 x 3155760000000 0; see XLEN log",
                "1",
            ),
            left_out(
                &SEEK,
                "if ARGV[2] == '0-0' then passed = stream['entries-added'] - stream.length end",
                "five; XTRIM log MAXLEN 3; XGROUP CREATE log g $; see seek g 0-0; see entries",
                "1 2",
            ),
            left_out(
                &STATS,
                "if fields['last-delivered-id'] == stream['last-generated-id'] then behind = 0 end",
                "five; XGROUP CREATE log g 0-0; claim g a 5 0 -; XDEL log 2-0; XGROUP SETID log g 5-0 ENTRIESREAD 1; see stats",
                "4,g,1,5,0",
            ),
            changed(
                &STATS,
                "fields.lag or -1",
                "fields.lag or 0",
                "five; XGROUP CREATE log g 3-0; see stats",
                "5,g,0,0,-1",
            ),
            left_out(
                &SWEEP,
                "if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end",
                "see sweep g 0",
                "0",
            ),
            changed(
                &SWEEP,
                "fields.pending == 0 and ",
                "",
                five(
                    "; claim g a 1 0 -; XGROUP CREATECONSUMER log g b; pause; see sweep g 0; see stats",
                ),
                "1 5,g,1,1,4",
            ),
            changed(
                &SWEEP,
                " and fields.idle > tonumber(ARGV[2])",
                "",
                five("; XGROUP CREATECONSUMER log g b; pause; see sweep g 90000; see stats"),
                "0 5,g,1,0,5",
            ),
            changed(&SWEEP, " and #gone < 100", "", five("; crowd; pause; see sweep g 0"), "100"),
            changed(
                &SWEEP,
                "for _, consumer in ipairs(gone) do",
                "for _, consumer in ipairs({}) do",
                five("; XGROUP CREATECONSUMER log g b; pause; see sweep g 0; see stats"),
                "1 5,g,0,0,5",
            ),
            left_out(
                &WAIT,
                "if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end",
                "see wait g a x 9000",
                "0",
            ),
            changed(
                &WAIT,
                " or #redis.call('XRANGE', KEYS[1], '(' .. position, '+', 'COUNT', 1) > 0",
                "",
                five("; see wait g a x 9000; see HLEN waiters"),
                "0 0",
            ),
            changed(&WAIT, "if not position or", "if", "five; see wait g a x 9000", "0"),
            left_out(
                &WAIT,
                "redis.call('PEXPIRE', KEYS[2], ARGV[4])\n",
                "five; XGROUP CREATE log g $; see wait g a x 9000; see lives waiters",
                "1 true",
            ),
            left_out(
                &WAIT,
                "redis.call('HSET', KEYS[2], ARGV[2], ARGV[3])\n",
                "five; XGROUP CREATE log g $; see wait g a x 9000; see HLEN waiters",
                "1 1",
            ),
        ]
    }

    /// A script by the name under which a step calls it.
    fn named(step: &str) -> Option<&'static Script> {
        let all = [
            &PUBLISH, &CREATE, &CLAIM, &WAIT, &ACK, &EXTEND, &LEAVE, &SWEEP, &SEEK, &REMOVE, &STATS,
        ];
        all.into_iter().find(|script| script.name.strip_prefix("pubsub/") == Some(step))
    }

    struct Stage {
        server: TestServer,
        /// In whose place a changed one runs.
        script: &'static str,
        source: String,
    }

    impl Stage {
        /// What is seen of these steps.
        async fn seen(&self, steps: &str) -> io::Result<String> {
            self.server.command(&["FLUSHALL"]).await?;
            let mut seen = Vec::new();
            for step in steps.split(';').map(str::trim) {
                let words: Vec<_> = step.split(' ').collect();
                match words.split_first() {
                    Some((&"see", words)) => seen.push(shown(&self.step(words).await?)),
                    _ => drop(self.step(&words).await?),
                }
            }
            Ok(seen.join(" "))
        }

        async fn step(&self, words: &[&str]) -> io::Result<Reply> {
            let command = async |words: &[&str]| self.server.command(words).await;
            match words {
                ["five"] => {
                    for id in ["1-0", "2-0", "3-0", "4-0", "5-0"] {
                        command(&["XADD", "log", id, "v", "1"]).await?;
                    }
                    Ok(Reply::Nil)
                }
                ["crowd"] => {
                    for number in 0..101 {
                        let consumer = number.to_string();
                        command(&["XGROUP", "CREATECONSUMER", "log", "g", &consumer]).await?;
                    }
                    Ok(Reply::Nil)
                }
                // Longer than the lease of a claim here, which is 1 ms.
                ["pause"] => {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                    Ok(Reply::Nil)
                }
                ["lives", key] => {
                    let left = command(&["PTTL", key]).await?.int();
                    Ok(Reply::Text((left > Some(5_000)).to_string().into()))
                }
                ["count"] => Ok(command(&["XPENDING", "log", "g"]).await?.list()[0].clone()),
                ["owner"] => {
                    let held = command(&["XPENDING", "log", "g", "-", "+", "1"]).await?;
                    Ok(held.list()[0].list()[1].clone())
                }
                ["entries"] => {
                    let group = command(&["XINFO", "GROUPS", "log"]).await?.list()[0].clone();
                    let at = group.list().iter().position(|one| one.text() == Some("entries-read"));
                    Ok(group.list()[at.unwrap() + 1].clone())
                }
                [name, arguments @ ..] => match named(name) {
                    None => command(words).await,
                    Some(script) => {
                        let source = match script.name == self.script {
                            true => &self.source,
                            false => script.source,
                        };
                        let call = [&["EVAL", source, "2", "log", "waiters"], arguments].concat();
                        command(&call).await
                    }
                },
                [] => Ok(Reply::Nil),
            }
        }
    }

    /// All that is in it, one behind the other.
    fn shown(reply: &Reply) -> String {
        match reply {
            Reply::Int(number) => number.to_string(),
            Reply::List(list) => list.iter().map(shown).collect::<Vec<_>>().join(","),
            other => other.text().unwrap_or_default().to_owned(),
        }
    }

    #[tokio::test]
    async fn each_guard_of_the_topics_scripts_is_missed_when_it_is_left_out() {
        let mut stage =
            Stage { server: TestServer::start().await.unwrap(), script: "", source: String::new() };
        let mut faults = Vec::new();
        for Mutant { of, from, to, steps, seen } in mutants() {
            (stage.script, stage.source) = (of.name, of.source.to_owned());
            let whole = stage.seen(steps).await;
            // In the script itself, which stands behind what it includes.
            let at = of.source.rfind(from).unwrap_or_else(|| panic!("{}: no {from}", of.name));
            stage.source = [&of.source[..at], to, &of.source[at + from.len()..]].concat();
            let changed = stage.seen(steps).await;
            if whole.as_deref().ok() != Some(seen) || changed.as_deref().ok() == Some(seen) {
                faults.push(format!("{}: {from}: {whole:?}, without it {changed:?}", of.name));
            }
        }
        assert!(faults.is_empty(), "{faults:#?}");
    }
}
