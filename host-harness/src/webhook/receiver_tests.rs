//! The receiver under strain, and with deliveries that say two things.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio::sync::Notify;

use super::listen;
use super::receiver::{Bounds, routes};
use super::room::RoomBounds;
use crate::bench::{Bench, lit, open, post, status};
use crate::host::Ensuring;

/// A receiver for the one callback of `harbour`, which is registered.
async fn receiver(bounds: Bounds) -> Bench {
    let bench = Bench::start().await;
    bench.subscribe("harbour", "beacon-lit", json!({})).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (routes, _) = routes(Arc::clone(&bench.host), Arc::new(Notify::new()), bounds);
    tokio::spawn(listen(listener, routes, std::future::pending()));
    bench.host.ensure("harbour", Ensuring::Apply(Some(&url))).await.unwrap();
    bench
}

/// Begins a delivery and does not go on.
async fn hang(bench: &Bench) -> tokio::net::TcpStream {
    let url = bench.world().hooks[0]["url"].as_str().unwrap().to_owned();
    let (mut stream, path) = open(&url).await;
    let head = format!("POST {path} HTTP/1.1\r\nhost: h\r\ncontent-length: 100\r\n\r\n{{");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_that_comes_again_with_another_body_is_acknowledged_and_raises_an_alarm() {
    let bench = receiver(Bounds::default()).await;
    assert_eq!(bench.deliver("d1", &lit(1)).await, 200);
    assert_eq!(bench.deliver("d1", &lit(1)).await, 200);
    let connection = bench.host.connection("harbour").unwrap();
    assert!(bench.host.delivery_troubles(&connection).unwrap().is_empty());
    assert_eq!(bench.deliver("d1", &lit(2)).await, 200);
    let troubles = bench.host.delivery_troubles(&connection).unwrap();
    assert_eq!((troubles.refused, troubles.alarms.len()), (0, 1));
    assert_eq!(troubles.alarms[0].code, "host.delivery-differs");
    let kept = bench.host.store().pending_deliveries(u64::MAX >> 1, 9, &|_| false).unwrap();
    assert_eq!(kept.len(), 1);
    assert_eq!(bench.host.store().delivery(&kept[0]).unwrap().unwrap().body, lit(1).to_string().into_bytes());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_takes_too_long_is_given_up() {
    let bench = receiver(Bounds { slowest_body: Duration::from_millis(100), ..Bounds::default() }).await;
    let mut slow = hang(&bench).await;
    assert_eq!(status(&mut slow).await, 408);
    assert_eq!(bench.deliver("d1", &lit(1)).await, 200, "and others are not held up");
}

#[tokio::test(flavor = "multi_thread")]
async fn under_load_a_sender_is_asked_to_come_back() {
    let bench = receiver(Bounds { at_once: 0, ..Bounds::default() }).await;
    assert_eq!(bench.deliver("d1", &lit(1)).await, 503);
}

#[tokio::test(flavor = "multi_thread")]
async fn too_much_that_waits_holds_up_senders_until_some_of_it_was_read() {
    let room = RoomBounds { waiting: 2, ..RoomBounds::default() };
    let bench = receiver(Bounds { room, ..Bounds::default() }).await;
    let store = bench.host.store();
    let (mut status, mut taken) = (200, 0);
    for number in 0..40 {
        status = bench.deliver(&format!("d{number}"), &lit(number)).await;
        if status != 200 {
            break;
        }
        taken += 1;
        bench.clock.advance(Duration::from_millis(100));
    }
    assert_eq!(status, 503);
    assert!(taken >= 2, "{taken} were taken in");
    assert_eq!(store.alarms(9).unwrap()[0].code, "host.intake-full");
    for id in store.pending_deliveries(u64::MAX >> 1, 99, &|_| false).unwrap() {
        store.keep_events(crate::store::BroughtBy::Delivery(&id), &[]).unwrap();
    }
    bench.clock.advance(Duration::from_millis(1100));
    assert_eq!(bench.deliver("d99", &lit(99)).await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_holds_up_senders() {
    let room = RoomBounds { disk_reserve: u64::MAX / 2, ..RoomBounds::default() };
    let bench = receiver(Bounds { room, ..Bounds::default() }).await;
    assert_eq!(bench.deliver("d1", &lit(1)).await, 503);
    let alarm = &bench.host.store().alarms(9).unwrap()[0];
    assert!(alarm.code == "host.intake-full" && alarm.message.contains("MiB left"), "{alarm:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_connection_gives_its_place_to_another() {
    let bench = receiver(Bounds::default()).await;
    let mut hanging = Vec::new();
    for _ in 0..512 {
        hanging.push(hang(&bench).await);
    }
    tokio::time::sleep(Duration::from_millis(1100)).await;
    for number in 0..5 {
        assert_eq!(bench.deliver(&format!("d{number}"), &lit(number)).await, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_for_a_callback_counts_at_once() {
    let bench = receiver(Bounds::default()).await;
    assert_eq!(bench.deliver("d1", &lit(1)).await, 200);
    let id = bench.host.connection("harbour").unwrap().id;
    // As another process does it.
    let other = crate::store::Store::open(&bench.host.home().database()).unwrap();
    let registrations = other.registrations(&id).unwrap();
    other.put_registrations(&id, &[]).unwrap();
    assert_eq!(bench.deliver("d2", &lit(2)).await, 401);
    other.put_registrations(&id, &registrations).unwrap();
    assert_eq!(bench.deliver("d2", &lit(2)).await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn large_bodies_are_put_off_or_refused() {
    let bounds = Bounds { largest_body: 8 << 10, bodies_kib: 4, ..Bounds::default() };
    let bench = receiver(bounds).await;
    let url = bench.world().hooks[0]["url"].as_str().unwrap().to_owned();
    assert_eq!(post(&url, "", &[b'x'; 6 << 10]).await, 503, "there is no memory for it now");
    assert_eq!(post(&url, "", &[b'x'; 9 << 10]).await, 413, "there never is");
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_bodies_that_take_all_memory_make_room_for_the_deliveries_of_others() {
    let bounds = Bounds { largest_body: 64 << 10, bodies_kib: 65, ..Bounds::default() };
    let bench = receiver(bounds).await;
    let url = bench.world().hooks[0]["url"].as_str().unwrap().to_owned();
    let mut slow = Vec::new();
    for length in [63 << 10, 2 << 10] {
        let (mut stream, path) = open(&url).await;
        let head = format!("POST {path} HTTP/1.1\r\nhost: h\r\ncontent-length: {}\r\n\r\n", length + 10);
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&vec![b'x'; length]).await.unwrap();
        slow.push(stream);
    }
    tokio::time::sleep(Duration::from_millis(1100)).await;
    for number in 0..3 {
        assert_eq!(bench.deliver(&format!("d{number}"), &lit(number)).await, 200);
    }
    let [one, other] = slow.as_mut_slice() else { unreachable!("there are two") };
    let left = tokio::select! { status = status(one) => status, status = status(other) => status };
    assert_eq!(left, 503, "the one that was begun first is asked to come back");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_while_the_callback_is_being_registered_is_answered_or_asked_to_come_back() {
    let bench = receiver(Bounds::default()).await;
    let id = bench.host.connection("harbour").unwrap().id;
    let url = bench.world().hooks[0]["url"].as_str().unwrap().to_owned();
    let challenge = json!({"type": "challenge", "challenge": "c"}).to_string();
    assert_eq!(post(&url, "", challenge.as_bytes()).await, 401, "its proof is known");
    bench.host.store().put_registrations(&id, &[]).unwrap();
    assert_eq!(post(&url, "", challenge.as_bytes()).await, 401, "nothing is being registered");
    bench.host.store().put_registering(&id, u64::MAX >> 1).unwrap();
    assert_eq!(post(&url, "", challenge.as_bytes()).await, 200);
    assert_eq!(bench.deliver("d1", &lit(1)).await, 503);
    assert!(bench.host.store().pending_deliveries(u64::MAX >> 1, 9, &|_| false).unwrap().is_empty());
}
