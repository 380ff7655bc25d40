//! The tasks of which a host consists while it serves. None of them ends before it is told to: one that does, by a
//! panic or otherwise, ends the serving, so that whoever watches over the process starts it again.

use std::collections::HashMap;

use tokio::task::{Id, JoinSet};

use crate::host::HostError;

/// Tasks that are watched over.
#[derive(Debug, Default)]
pub(super) struct Tasks {
    running: JoinSet<()>,
    names: HashMap<Id, &'static str>,
}

impl Tasks {
    /// Starts one. `does` says what it does.
    pub(super) fn spawn(&mut self, does: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.names.insert(self.running.spawn(task).id(), does);
    }

    /// What `work` comes to, unless one of the tasks ends first.
    pub(super) async fn beside<T>(&mut self, work: impl Future<Output = T>) -> Result<T, HostError> {
        tokio::select! {
            done = work => Ok(done),
            error = self.one_ended() => Err(error),
        }
    }

    /// Ends when one of the tasks has ended that nobody told to.
    pub(super) async fn one_ended(&mut self) -> HostError {
        let (id, panicked) = match self.running.join_next_with_id().await {
            Some(Ok((id, ()))) => (id, false),
            Some(Err(error)) => (error.id(), error.is_panic()),
            None => return std::future::pending().await,
        };
        let does = self.names.get(&id).copied().unwrap_or("a part of the host");
        let how = if panicked { "panicked" } else { "ended by itself" };
        tracing::error!(task = does, how, "a part of the host is gone; it stops, to be started again");
        HostError::other(
            "part-ended",
            format!("a part of the host {how}: {does}. Nothing that was acknowledged is lost"),
            "Start it again, or let a service manager do so; report it with the lines before it in the log.",
        )
    }

    /// Ends when all have ended.
    pub(super) async fn all_ended(&mut self) {
        while self.running.join_next().await.is_some() {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_panics_or_ends_is_told_by_what_it_does() {
        let panics = |does| panic!("{does}, on purpose");
        for (task, how) in [(true, "panicked"), (false, "ended by itself")] {
            let mut tasks = Tasks::default();
            tasks.spawn("waiting for ever", std::future::pending());
            tasks.spawn("the polls", async move {
                if task {
                    panics("the polls")
                }
            });
            let error = tasks.beside(std::future::pending::<()>()).await.unwrap_err().to_json();
            let message = error["message"].as_str().unwrap();
            assert!(message.contains(&format!("{how}: the polls")), "{error}");
            assert_eq!(error["code"], "host.part-ended");
        }
    }

    #[tokio::test]
    async fn while_all_tasks_go_on_the_work_beside_them_comes_to_its_end() {
        let mut tasks = Tasks::default();
        assert_eq!(tasks.beside(async { 7 }).await.unwrap(), 7, "without any");
        tasks.spawn("waiting for ever", std::future::pending());
        assert_eq!(tasks.beside(async { 7 }).await.unwrap(), 7);
    }
}
