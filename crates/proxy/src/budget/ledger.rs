//! Who keeps the book: one thread, so that nobody who carries bytes waits for a disk.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use tokio::sync::oneshot;

use super::book::{Book, Wish};
use super::{Budget, Key};
use crate::diagnostic;

/// The way to the thread. It ends when the last purse is gone.
#[derive(Debug)]
pub struct Ledger {
    // Not bounded by itself: a purse is in it once at most.
    queue: Sender<Ask>,
}

#[derive(Debug)]
enum Ask {
    More(Arc<Budget>),
    Close(Vec<Arc<Budget>>, oneshot::Sender<()>),
}

impl Ledger {
    /// Keeps the book in `directory`. A directory that cannot be used is tried again and again; until
    /// then nothing goes under any budget.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub fn open(directory: &Path) -> std::io::Result<Arc<Self>> {
        let (queue, asks) = channel();
        let mut clerk = Clerk::new(directory.to_owned());
        if clerk.sit_down().is_ok() {
            clerk.all_is_well();
        }
        std::thread::Builder::new()
            .name("budgets".to_owned())
            .spawn(move || clerk.work(&asks))?;
        Ok(Arc::new(Self { queue }))
    }

    /// False when nobody will answer.
    pub(super) fn ask(&self, budget: Arc<Budget>) -> bool {
        self.queue.send(Ask::More(budget)).is_ok()
    }

    /// Gives back what the purses hold, at the end of the process.
    pub async fn close(&self, purses: Vec<Arc<Budget>>) {
        let (tell, told) = oneshot::channel();
        if self.queue.send(Ask::Close(purses, tell)).is_ok() {
            told.await.ok();
        }
    }
}

#[derive(Debug)]
struct Clerk {
    directory: PathBuf,
    book: Option<Book>,
    /// What was said last to be wrong: it is not said again for each try.
    trouble: Option<String>,
}

impl Clerk {
    fn new(directory: PathBuf) -> Self {
        Self {
            directory,
            book: None,
            trouble: None,
        }
    }

    fn work(mut self, asks: &Receiver<Ask>) {
        while let Ok(first) = asks.recv() {
            // All that wait are served by one write.
            let mut more = Vec::new();
            let mut closing = None;
            for ask in std::iter::once(first).chain(asks.try_iter()) {
                match ask {
                    Ask::More(budget) => more.push(budget),
                    Ask::Close(budgets, tell) => closing = Some((budgets, tell)),
                }
            }
            self.reserve(&more);
            if let Some((budgets, tell)) = closing {
                self.give_back(&budgets);
                // Whoever closes may have stopped waiting.
                tell.send(()).ok();
            }
        }
    }

    fn reserve(&mut self, budgets: &[Arc<Budget>]) {
        if budgets.is_empty() {
            return;
        }
        let wish = |budget: &Arc<Budget>| {
            let (limit, wanted) = budget.wish();
            Wish {
                key: budget.key.clone(),
                limit,
                wanted,
            }
        };
        let wishes: Vec<Wish> = budgets.iter().map(wish).collect();
        let reserved = self
            .sit_down()
            .and_then(|book| book.reserve(&wishes).map_err(|error| error.to_string()));
        match reserved {
            Ok(granted) => {
                self.all_is_well();
                for (budget, granted) in budgets.iter().zip(granted) {
                    budget.answer(granted.granted, granted.total);
                }
            }
            Err(trouble) => {
                self.complain(trouble);
                for budget in budgets {
                    budget.fail();
                }
            }
        }
    }

    fn give_back(&mut self, budgets: &[Arc<Budget>]) {
        let unspent: Vec<(Key, u64)> = budgets
            .iter()
            .map(|budget| (budget.key.clone(), budget.surrender()))
            .collect();
        let given = self
            .sit_down()
            .and_then(|book| book.give_back(&unspent).map_err(|error| error.to_string()));
        if let Err(trouble) = given {
            self.complain(trouble);
        }
    }

    fn sit_down(&mut self) -> Result<&mut Book, String> {
        if self.book.is_none() {
            match Book::open(&self.directory) {
                Ok(book) => self.book = Some(book),
                Err(error) => {
                    self.complain(error.to_string());
                    return Err(error.to_string());
                }
            }
        }
        self.book.as_mut().ok_or_else(String::new)
    }

    fn complain(&mut self, trouble: String) {
        if self.trouble.as_ref() == Some(&trouble) {
            return;
        }
        diagnostic::error(format_args!(
            "{trouble}: what is sent under a budget (`up=`, `default_up`) cannot be recorded, so it is \
             refused (budget_spent) until that works; the rest goes on. The state directory must be \
             writable for user {} and have space",
            rustix::process::geteuid().as_raw()
        ));
        self.trouble = Some(trouble);
    }

    fn all_is_well(&mut self) {
        if self.trouble.take().is_some() {
            diagnostic::note(format_args!(
                "{}: budgets are recorded again",
                self.directory.display()
            ));
        }
        let news = self.book.as_mut().and_then(Book::news);
        if let Some(aside) = news {
            diagnostic::error(format_args!(
                "{}: what was spent could not be read and has been set aside here; every budget of it \
                 counts as spent. Raise a rule's `up=` to let more go, or stop the proxy and remove \
                 the file `budgets` beside it to begin anew",
                aside.display()
            ));
        }
    }
}
