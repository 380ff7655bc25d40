//! Taking deliveries in: proved, synced, acknowledged.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use host_harness::clock::SystemClock;
use host_harness::host::{Home, Host};
use host_harness::webhook;
use tokio::net::TcpListener;

use crate::child::{Part, end_with_stdin};
use crate::homes::SpareHome;
use crate::load::{Delivered, Target, flood, steady};
use crate::machine::{Side, cpu_time_of, keep_to};
use crate::report::{Figure, Report, short};
use crate::rounds::{Samples, micros};
use crate::stage::Stage;

/// How many connections the load has.
const CONNECTIONS: usize = 64;
/// How long each side is loaded in a round.
const TURN: Duration = Duration::from_secs(2);
const ROUNDS: usize = 5;

/// The receiver of a home, alone: nothing reads what it takes in. Serves until stdin ends.
pub(crate) fn receive(home: &Path) -> Result<()> {
    keep_to(Side::Measured);
    end_with_stdin();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(async {
        let host = Host::open(Home::new(home, None), SystemClock::shared()).map_err(crate::stage::failed)?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        println!("{}", listener.local_addr()?);
        webhook::take_in(host.into(), listener, std::future::pending()).await;
        Ok(())
    })
}

/// How many a second, against a server that only keeps the bodies.
pub(crate) fn throughput(stage: &Stage, report: &mut Report) -> Result<()> {
    let home = SpareHome::connected(stage, stage.fixed.quick)?.registered(stage)?;
    let path = home.path();
    let ours = Part::start(&["receive", &path.to_string_lossy()])?;
    let ours = (home.deliveries(stage, ours.greeting.trim().parse()?)?, ours);
    let bare = Part::start(&["bare", &home.beside("bare.db").to_string_lossy()])?;
    let bare = (ours.0.at(bare.greeting.trim().parse()?), bare);
    let (mut our_rate, mut bare_rate) = (Samples::default(), Samples::default());
    let (mut cpu, mut bare_cpu) = (Samples::default(), Samples::default());
    let mut put_off = 0;
    for round in 0..=ROUNDS {
        report.doing(format!("intake-throughput: round {round} of {ROUNDS}"));
        let (barely, its_cpu) = flooded(&bare)?;
        let (wholly, our_cpu) = flooded(&ours)?;
        put_off += wholly.put_off;
        if round > 0 {
            bare_rate.push(barely.rate());
            our_rate.push(wholly.rate());
            bare_cpu.push(its_cpu);
            cpu.push(our_cpu);
        }
    }
    if put_off > 0 {
        report.remark(format!("intake-throughput: {put_off} deliveries were asked to come back and are not counted"));
    }
    let against = format!("bare axum and insert {}/s", short(bare_rate.median()));
    let figure = Figure::of("intake-throughput", &our_rate, "/s").against(&against, our_rate.ratio_to(&bare_rate));
    report.add(figure.ratio_at_least(0.5));
    let against = format!("bare axum and insert {} µs", short(bare_cpu.median()));
    report.add(Figure::of("intake-cpu", &cpu, "µs").against(&against, bare_cpu.ratio_to(&cpu)));
    Ok(())
}

/// Loads a receiver for a turn; what came of it, and microseconds of processor time for each that was acknowledged.
fn flooded((target, receiver): &(Target, Part)) -> Result<(Delivered, f64)> {
    let before = cpu_time_of(receiver.id())?;
    let delivered = flood(target, CONNECTIONS, TURN)?;
    let spent = cpu_time_of(receiver.id())?.saturating_sub(before);
    ensure!(delivered.acknowledged > 0, "nothing was acknowledged");
    let each = micros(spent) / delivered.acknowledged as f64;
    Ok((delivered, each))
}

/// How long an acknowledgement takes while every flow waits for a service that hangs.
pub(crate) fn latency(stage: &Stage, report: &mut Report) -> Result<()> {
    for (name, rate, goal) in [("intake-ack-p99", 200.0, 50.0), ("intake-ack-p99-2000", 2000.0, 250.0)] {
        let home = SpareHome::connected(stage, stage.fixed.hanging)?.with_flow()?;
        let (serving, address) = home.serve(stage)?;
        let target = home.deliveries(stage, address)?;
        // The first ones fill every place where a flow can hang.
        steady(&target, CONNECTIONS, 100.0, Duration::from_secs(2))?;
        let (mut p99, mut medians) = (Samples::default(), Samples::default());
        let (mut sent, mut put_off) = (0, 0);
        for round in 1..=3 {
            report.doing(format!("{name}: round {round} of 3"));
            let delivered = steady(&target, CONNECTIONS, rate, Duration::from_secs(4))?;
            p99.push(delivered.waits.share(0.99));
            medians.push(delivered.waits.median());
            sent += delivered.acknowledged + delivered.put_off;
            put_off += delivered.put_off;
        }
        drop(serving);
        ensure!(put_off < sent, "every delivery was asked to come back");
        let mut against = format!("median {} ms, {} sent", short(medians.median()), short(sent as f64));
        if put_off > 0 {
            against.push_str(&format!(", {} put off", short(put_off as f64)));
        }
        report.add(Figure::of(name, &p99, "ms").against(&against, None).at_most(goal));
    }
    Ok(())
}
