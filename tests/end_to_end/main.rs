//! End to end: the component, the host and the simulated Jira as they ship, nothing mocked in between.
//!
//! The programs and components come from `target/`; a missing or stale one fails with the command
//! to run. `stage` sets up what a test needs, every other file is a reader's question: does the
//! main job work (`main_job`), is every card used (`cards`), do the commands keep their word
//! (`commands`, `refusals`, `explained`), does the simulator answer as Atlassian's documents say (`openapi`), is
//! the component what the reviewer was told (`imports`), does a person see how it stands and
//! can they stop it (`operate`), does every way in lead in (`ways_in`), and do host and connector hold against
//! harm (`faults`, each under its number) and against bytes that mean nothing (`fuzz`).

mod built;
mod draw;
mod figure;
mod harness;
mod http;
mod runtime;
mod service;
mod simulator;
mod stage;

mod backup;
mod beacon;
mod cards;
mod commands;
mod connections;
mod documented_flows;
mod explained;
mod faults;
mod fuzz;
mod hosts;
mod imports;
mod main_job;
mod neutral_host;
mod openapi;
mod operate;
mod refusals;
mod runs;
mod signatures;
mod ways_in;
