//! What becomes of a run that cannot be kept.

use crate::bench::{Bench, LIGHT, lit, until};
use crate::clock::{Clock as _, LONGEST_WAIT};

use super::*;

const ENDLESS: &str = "name: endless
on: { event: beacon-lit, connection: harbour }
steps:
  - { id: wait, action: endless, connection: wild, input: { wait: 18446744073709551615 } }
";

#[tokio::test(flavor = "multi_thread")]
async fn what_the_store_can_never_take_is_given_up_at_once() {
    let bench = Bench::start().await;
    let (_stop, stop) = watch::channel(false);
    let store = bench.host.store();
    let write = || store.write(|db| Ok::<_, StoreError>(db.execute("SELECT ?1", [u64::MAX])?));
    let kept = tokio::time::timeout(Duration::from_secs(5), keep(&bench.host, &stop, write)).await;
    assert!(matches!(kept, Ok(Err(Stuck::Unkeepable(_)))), "{kept:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connector_that_wants_to_wait_for_ever_waits_a_month_and_holds_up_nobody() {
    let bench = Bench::start().await;
    bench.connect("wild", "guest_hostile.wasm", "token", "token").await;
    bench.flow("endless.yaml", ENDLESS);
    let running = bench.serve().await;
    bench.deliver("d1", &lit(1)).await;
    bench.reach(&["waiting"]).await;
    let due = bench.host.store().runs(1).unwrap().remove(0).due_at_ms;
    let longest = u64::try_from(LONGEST_WAIT.as_millis()).unwrap();
    assert!(due <= bench.clock.now_ms() + longest && due >= longest, "{due}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_the_store_refuses_again_and_again_ends_and_gives_its_place_back() {
    let bench = Bench::start().await;
    bench.flow("answer.yaml", LIGHT);
    let running = bench.serve().await;
    let disk = bench.disk();
    let refuse =
        "CREATE TRIGGER refuse BEFORE INSERT ON step WHEN new.state = 'done' BEGIN SELECT RAISE(ABORT, 'no'); END";
    disk.execute_batch(refuse).unwrap();
    bench.deliver("d1", &lit(1)).await;
    until("the run to end", || {
        bench.clock.advance(Duration::from_secs(30));
        bench.states() == ["failed"]
    })
    .await;
    let run = bench.host.store().runs(1).unwrap().remove(0);
    assert_eq!(run.failure.unwrap()["code"], "host.unkeepable");
    let step = bench.host.store().steps(&run.id).unwrap().remove(0);
    assert_eq!(step.state, "failed", "the card honours idempotency keys, so nothing is in doubt");
    running.stop().await;
}
