//! Rate limiters: never more than the limit, never less than it, and nothing left behind.

#![cfg(feature = "rate_limit")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeSet;
use std::sync::OnceLock;
use std::time::Duration;

use proptest::prelude::*;
use russet::testing::{Proxy, eventually};
use russet::{DecidedBy, ErrorKind, Limit, RateLimiter, Russet, WhenAway, metered, raw};
use support::{
    Stage, commands, connect, needs_one_server, patient_stage, refused_names, stage, strange_names,
};

const LONG: Duration = Duration::from_secs(60);
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3_600);

fn limiter(stage: &Stage, limits: &[Limit]) -> RateLimiter {
    let builder = RateLimiter::builder(&stage.russet, "api");
    limits.iter().fold(builder, |builder, limit| builder.limit(*limit)).build().unwrap()
}

/// Of each kind; none of them gets room again while a test runs, but at the full day.
fn each_kind(most: u64) -> [Limit; 3] {
    let days = 24 * HOUR * 30;
    [
        Limit::gcra(1, 24 * HOUR).burst(most),
        Limit::sliding(most, days),
        Limit::fixed(most, days * 12),
    ]
}

#[tokio::test]
async fn as_many_as_the_limit_are_allowed_and_no_more() {
    let stage = patient_stage().await;
    for (number, limit) in each_kind(5).into_iter().enumerate() {
        let api = limiter(&stage, &[limit]);
        let subject = number.to_string();
        assert_eq!(api.remaining(&subject).await.unwrap(), 5);
        for left in (0..5).rev() {
            let allowance = api.check(&subject).await.unwrap();
            assert!(allowance.is_allowed, "{limit:?}: {allowance:?}");
            assert_eq!((allowance.limit, allowance.remaining), (5, left), "{limit:?}");
            assert_eq!(allowance.retry_after, Duration::ZERO);
            assert_eq!(allowance.decided_by, DecidedBy::Limits);
            assert_eq!(api.remaining(&subject).await.unwrap(), left);
        }
        let before = stage.keys().await;
        for _ in 0..3 {
            let denied = api.check(&subject).await.unwrap();
            assert!(!denied.is_allowed && denied.remaining == 0, "{limit:?}: {denied:?}");
            assert!(denied.retry_after > HOUR && denied.reset_after >= denied.retry_after);
        }
        assert_eq!(stage.keys().await, before, "a denied call writes nothing");
        assert!(api.check("another").await.unwrap().is_allowed);
        assert!(api.reset(&subject).await.unwrap() && !api.reset(&subject).await.unwrap());
        assert!(api.check(&subject).await.unwrap().is_allowed);
    }
}

#[tokio::test]
async fn a_cost_counts_as_so_many_calls() {
    let stage = patient_stage().await;
    for (number, limit) in each_kind(10).into_iter().enumerate() {
        let (api, subject) = (limiter(&stage, &[limit]), number.to_string());
        assert_eq!(api.check(&subject).cost(7).await.unwrap().remaining, 3);
        let denied = api.check(&subject).cost(4).await.unwrap();
        assert!(!denied.is_allowed && denied.remaining == 3, "{denied:?}");
        assert_eq!(api.check(&subject).cost(3).await.unwrap().remaining, 0);
        for never in [0, 11] {
            let error = api.check(&subject).cost(never).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        }
    }
}

#[tokio::test]
async fn several_limits_count_a_call_all_or_none() {
    let stage = patient_stage().await;
    let [gcra, sliding, fixed] = each_kind(10);
    let narrow = Limit::sliding(3, HOUR * 24 * 7);
    let api = limiter(&stage, &[gcra, sliding, fixed, narrow]);
    for left in (0..3).rev() {
        let allowance = api.check("me").await.unwrap();
        assert_eq!((allowance.is_allowed, allowance.limit, allowance.remaining), (true, 3, left));
    }
    for _ in 0..20 {
        let denied = api.check("me").await.unwrap();
        assert!(!denied.is_allowed && denied.limit == 3);
        assert!(denied.retry_after <= HOUR * 24 * 8, "{denied:?}");
    }
    // The others have counted three.
    let wide = limiter(&stage, &[gcra, sliding, fixed]);
    assert_eq!(wide.remaining("me").await.unwrap(), 7);
    assert_eq!(wide.check("me").cost(7).await.unwrap().remaining, 0);
}

#[tokio::test]
async fn another_number_counts_at_once_for_what_came_before() {
    let stage = patient_stage().await;
    let days = 24 * HOUR * 30;
    for kind in [Limit::sliding, Limit::fixed] {
        let (small, large) = (limiter(&stage, &[kind(3, days)]), limiter(&stage, &[kind(5, days)]));
        assert_eq!(small.check("me").cost(3).await.unwrap().remaining, 0);
        assert!(!small.check("me").await.unwrap().is_allowed);
        assert_eq!(large.check("me").await.unwrap().remaining, 1);
        assert_eq!(small.remaining("me").await.unwrap(), 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_concurrent_checks_never_allow_more_than_the_limit() {
    let stage = patient_stage().await;
    let other = support::patient(&stage.server.url(), stage.russet.namespace()).await;
    for (number, limit) in each_kind(1_000).into_iter().enumerate() {
        let here = limiter(&stage, &[limit]);
        let there = RateLimiter::builder(&other, "api").limit(limit).build().unwrap();
        let subject = number.to_string();
        let checks = (0..10_000).map(|n| {
            let limiter = if n % 2 == 0 { &here } else { &there };
            async { limiter.check(&subject).await.unwrap().is_allowed }
        });
        let allowed = futures_util::future::join_all(checks).await.into_iter().filter(|a| *a);
        assert_eq!(allowed.count(), 1_000, "{limit:?}");
    }
}

#[tokio::test]
async fn a_subject_gets_room_again_when_it_was_told() {
    let stage = patient_stage().await;
    for limit in
        [Limit::gcra(10, SECOND).burst(1), Limit::sliding(1, SECOND), Limit::fixed(1, SECOND)]
    {
        let api = limiter(&stage, &[limit]);
        // Another check may fall into the next period on a slow machine.
        let denied = eventually(LONG, async || {
            let allowance = api.check("me").await.unwrap();
            if allowance.is_allowed { Err("allowed") } else { Ok(allowance) }
        })
        .await;
        assert!(denied.retry_after > Duration::ZERO && denied.retry_after <= SECOND * 2);
        tokio::time::timeout(LONG, async {
            tokio::time::sleep(denied.retry_after).await;
            while !api.check("me").await.unwrap().is_allowed {}
        })
        .await
        .unwrap();
    }
}

#[tokio::test]
async fn each_key_ends_by_itself() {
    let stage = patient_stage().await;
    let api = limiter(
        &stage,
        &[Limit::gcra(10, SECOND), Limit::sliding(5, SECOND), Limit::fixed(9, SECOND)],
    );
    for name in strange_names() {
        let _ = api.check(&name).await.unwrap();
    }
    for stored in stage.keys().await {
        assert!(stored.expires_ms.is_some(), "{stored:?}");
    }
    eventually(LONG, async || match stage.keys().await.len() {
        0 => Ok(()),
        left => Err(format!("{left} keys")),
    })
    .await;
}

#[tokio::test]
async fn subjects_do_not_share_what_they_may() {
    let stage = patient_stage().await;
    let api = limiter(&stage, &[Limit::fixed(1, HOUR * 24 * 365)]);
    let names: BTreeSet<_> = strange_names().into_iter().collect();
    for name in &names {
        assert!(api.check(name).await.unwrap().is_allowed, "{name}");
    }
    assert_eq!(stage.keys().await.len(), names.len());
}

#[tokio::test]
async fn a_check_is_one_round_trip_and_at_most_four_commands() {
    if needs_one_server() {
        return;
    }
    let server = support::Ground::start().await.unwrap();
    let russet = connect(&server.url()).await;
    for limit in [Limit::gcra(10, SECOND), Limit::sliding(10, SECOND), Limit::fixed(10, SECOND)] {
        let api = RateLimiter::builder(&russet, "api").limit(limit).build().unwrap();
        let _ = api.check("known").await.unwrap();
        api.remaining("known").await.unwrap();
        let before = commands(&server).await;
        let (allowance, sent) = metered(async { api.check("me").await.unwrap() }).await;
        let used = commands(&server).await - before;
        assert!(allowance.is_allowed && sent.round_trips == 1 && used <= 4, "{sent:?}, {used}");
        let left = metered(api.remaining("me")).await;
        assert_eq!((left.0.unwrap() <= 10, left.1.round_trips), (true, 1));
        assert_eq!(metered(api.reset("me")).await.1.round_trips, 1);
    }
    // The usual state is one number, which the server keeps without an object of its own.
    let api = RateLimiter::builder(&russet, "api").limit(Limit::gcra(10, SECOND)).build().unwrap();
    let _ = api.check("small").await.unwrap();
    let key = format!("{}:{{rate_limit:api:small}}:gcra:1000", russet.namespace());
    let encoding = server.command(&["OBJECT", "ENCODING", &key]).await.unwrap();
    // Valkey puts it into the record of the key, as a short text.
    assert!(["int", "embstr"].contains(&encoding.text().unwrap()), "{encoding:?}");
    let state = server.command(&["GET", &key]).await.unwrap();
    assert!(state.text().unwrap().parse::<i64>().is_ok(), "{state:?}");
}

#[tokio::test]
async fn without_redis_the_policy_decides() {
    if needs_one_server() {
        return;
    }
    let stage = stage().await;
    let proxy = Proxy::to(stage.server.only()).await.unwrap();
    let russet = connect(&proxy.url()).await;
    proxy.refuse().await.unwrap();
    for (policy, allowed) in
        [(WhenAway::Allow, Some(true)), (WhenAway::Deny, Some(false)), (WhenAway::Fail, None)]
    {
        let builder = RateLimiter::builder(&russet, "api").limit(Limit::fixed(1, HOUR));
        let api = builder.when_away(policy).build().unwrap();
        let answer = api.check("me").await;
        assert_eq!(answer.as_ref().ok().map(|allowance| allowance.is_allowed), allowed);
        assert!(answer.is_err() || answer.unwrap().decided_by == DecidedBy::Policy);
        // A mistake of the caller is none of its business.
        assert_eq!(api.check("me").cost(2).await.unwrap_err().kind(), ErrorKind::Invalid);
    }
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let stage = stage().await;
    let builder = || RateLimiter::builder(&stage.russet, "api");
    let many = (1..=11).fold(builder(), |builder, n| builder.limit(Limit::fixed(1, n * SECOND)));
    let twice = builder().limit(Limit::gcra(1, HOUR)).limit(Limit::gcra(2, HOUR));
    let wrong = builder().limit(Limit::fixed(0, HOUR));
    for none in [builder(), many, twice, wrong] {
        let error = none.build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    }
    for name in refused_names() {
        assert!(
            RateLimiter::builder(&stage.russet, &name)
                .limit(Limit::fixed(1, HOUR))
                .build()
                .is_err()
        );
        let api = limiter(&stage, &[Limit::fixed(1, HOUR)]);
        assert!(api.check(&name).await.is_err() && api.remaining(&name).await.is_err());
        assert!(api.reset(&name).await.is_err());
    }
    assert!(stage.keys().await.is_empty());
}

/// The script with the server's clock in the test's hand: the time is a key.
fn with_a_clock() -> String {
    let clock = "#!lua\nlocal function now_us() return tonumber(redis.call('GET', KEYS[1])) end\n";
    let script = include_str!("../lua/rate_limit/check.lua");
    let script =
        script.replace("judge(KEYS,", "judge({KEYS[2]},").replace("KEYS[i]", "KEYS[i + 1]");
    // This clock is ahead of the server's, whose expiry must not play a part.
    let script = script.replace("'PX', write[2]", "'PX', write[2] + 600000");
    [clock, include_str!("../lua/lib/rate_limit.lua"), &script].concat()
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Fixed,
    Sliding {
        buckets: u64,
    },
    /// `per` calls in the period, a burst of the limit.
    Gcra {
        per: u64,
    },
}

#[derive(Clone, Copy, Debug)]
struct Step {
    wait_us: u64,
    cost: u64,
}

/// What a limit allows, by its words.
struct Model {
    kind: Kind,
    most: u64,
    period: u64,
    came: Vec<(u64, u64)>,
}

impl Model {
    fn within(&self, is_within: impl Fn(u64) -> bool) -> u64 {
        self.came.iter().filter(|(at, _)| is_within(*at)).map(|(_, cost)| cost).sum()
    }

    /// How many calls of cost 1 have room at this time.
    fn left(&self, now: u64) -> u64 {
        let used = match self.kind {
            Kind::Fixed => self.within(|at| at / self.period == now / self.period),
            Kind::Sliding { buckets } => {
                let bucket = self.period.div_ceil(buckets);
                self.within(|at| at / bucket + buckets >= now / bucket)
            }
            Kind::Gcra { per } => {
                // In parts of a call: what came, less what was worked off since, never below nothing.
                let (mut parts, mut last) = (0_u128, 0);
                for (at, cost) in &self.came {
                    let worked = u128::from(at - last) * u128::from(per);
                    parts = parts.saturating_sub(worked) + u128::from(cost * self.period);
                    last = *at;
                }
                parts = parts.saturating_sub(u128::from(now - last) * u128::from(per));
                parts.div_ceil(u128::from(self.period)) as u64
            }
        };
        self.most.saturating_sub(used)
    }
}

fn kinds() -> impl Strategy<Value = Kind> {
    prop_oneof![
        Just(Kind::Fixed),
        (1_u64..12).prop_map(|buckets| Kind::Sliding { buckets }),
        (1_u64..40).prop_map(|per| Kind::Gcra { per }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    /// `RUSSET_LIMIT_CASES` makes it longer.
    #[test]
    fn a_limit_allows_what_its_model_does_over_random_times(
        kind in kinds(),
        most in 1_u64..20,
        period_ms in 1_u64..3_000,
        steps in prop::collection::vec(
            (prop_oneof![0_u64..2_000, 0_u64..300_000, 0_u64..9_000_000], 1_u64..4)
                .prop_map(|(wait_us, cost)| Step { wait_us, cost }),
            1..60,
        ),
    ) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let russet = connect(&shared_url()).await;
            let outcome = run(&russet, kind, most, period_ms * 1_000, &steps).await;
            russet.close().await;
            outcome
        })?;
    }
}

async fn run(
    russet: &Russet,
    kind: Kind,
    most: u64,
    period: u64,
    steps: &[Step],
) -> Result<(), TestCaseError> {
    let script = with_a_clock();
    let (key, clock) = (
        format!("{}:{{rate_limit:model}}:limit", russet.namespace()),
        format!("{}:{{rate_limit:model}}:clock", russet.namespace()),
    );
    let mut model = Model { kind, most, period, came: Vec::new() };
    let mut now = 1_800_000_000_000_000_u64;
    for step in steps {
        now += step.wait_us;
        let cost = step.cost.min(most);
        let (name, time, more) = match kind {
            Kind::Fixed => ("fixed", period, 0),
            Kind::Sliding { buckets } => ("sliding", period.div_ceil(buckets), buckets),
            Kind::Gcra { per } => ("gcra", period, per),
        };
        let numbers = [most, time, more].map(|number| number.to_string());
        let set = ["SET", &clock, &now.to_string(), "EX", "600"];
        raw::command(russet, &set).await.unwrap();
        let words = [
            "EVAL",
            &script,
            "2",
            &clock,
            &key,
            &cost.to_string(),
            name,
            &numbers[0],
            &numbers[1],
            &numbers[2],
        ];
        let answer = raw::command(russet, &words).await.unwrap();
        let (allowed, left, wait) = decoded(answer);
        let room = model.left(now);
        prop_assert_eq!(allowed, room >= cost, "{:?} at {}: {} left", step, now, room);
        if allowed {
            model.came.push((now, cost));
            prop_assert_eq!(left, model.left(now));
            let ttl = int(raw::command(russet, &["PTTL", &key]).await.unwrap());
            prop_assert!(ttl > 0, "a key without TTL");
        } else {
            prop_assert_eq!(left, room);
            prop_assert!(model.left(now + wait) >= cost, "told to wait {} us", wait);
            prop_assert!(model.left(now + wait - 1) < cost, "told to wait too long, {} us", wait);
        }
    }
    Ok(())
}

fn int(value: raw::Value) -> u64 {
    value.into_text().unwrap().parse().unwrap()
}

/// Whether it is allowed, what is left, and how long to wait.
fn decoded(answer: raw::Value) -> (bool, u64, u64) {
    let raw::Value::List(answer) = answer else { panic!("{answer:?}") };
    let [allowed, raw::Value::List(limits)] = &answer[..] else { panic!("{answer:?}") };
    let raw::Value::List(limit) = &limits[0] else { panic!("{limits:?}") };
    (int(allowed.clone()) == 1, int(limit[0].clone()), int(limit[1].clone()))
}

fn cases() -> u32 {
    std::env::var("RUSSET_LIMIT_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(96)
}

/// A server that outlives the runtimes of the cases.
fn shared_url() -> String {
    static URL: OnceLock<String> = OnceLock::new();
    URL.get_or_init(|| {
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            runtime.block_on(async {
                let _ = tell.send(support::server().await.url());
                std::future::pending::<()>().await;
            });
        });
        told.recv().unwrap()
    })
    .clone()
}
