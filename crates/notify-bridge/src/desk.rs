//! The desk that every notice crosses: who may speak how often, who wants to hear it, and the journal
//! that remembers both.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use crate::ledger::{Ledger, Line, Origin, Taken};
use crate::limit::Window;
use crate::metrics::Metrics;
use crate::notice::{Notice, NoticeId, Speaker};
use crate::outlet::{Handle, Outlet};
use crate::rule::Rule;

/// Notices that wait, at most. The oldest goes when there is one more.
const MOST_WAITING: usize = 256;

/// Places of notices that are over and that a later one may take.
const MOST_PLACES: usize = 256;

/// Speakers that are counted at once; a task has three.
const MOST_SPEAKERS: usize = 4096;

/// An outlet with what it wants.
pub(crate) struct Mounted {
    pub(crate) outlet: Arc<dyn Outlet>,
    pub(crate) rule: Rule,
}

/// See the module.
pub(crate) struct Desk {
    pub(crate) ledger: Ledger,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) mounted: Vec<Mounted>,
    windows: HashMap<Speaker, Window>,
    places: VecDeque<(NoticeId, BTreeMap<String, Handle>)>,
    a_minute: usize,
}

impl Desk {
    /// An empty desk; what earlier processes folded and did not tell is counted on.
    pub(crate) fn new(
        ledger: Ledger,
        mounted: Vec<Mounted>,
        metrics: Arc<Metrics>,
        a_minute: usize,
    ) -> Self {
        let mut desk = Self {
            windows: HashMap::new(),
            places: VecDeque::new(),
            ledger,
            metrics,
            mounted,
            a_minute,
        };
        let now = Instant::now();
        for (speaker, count) in desk.ledger.folded().clone() {
            desk.window(&speaker).fold(count, now);
        }
        desk
    }

    fn window(&mut self, speaker: &Speaker) -> &mut Window {
        let a_minute = self.a_minute;
        self.windows
            .entry(speaker.clone())
            .or_insert_with(|| Window::new(a_minute))
    }

    /// Whether the speaker may say one thing more now.
    pub(crate) fn admit(&mut self, speaker: &Speaker) -> bool {
        let now = Instant::now();
        if self.windows.len() >= MOST_SPEAKERS {
            self.windows.retain(|_, window| !window.is_idle(now));
        }
        self.window(speaker).admit(now)
    }

    /// What was admitted was nothing to show.
    pub(crate) fn give_back(&mut self, speaker: &Speaker) {
        self.window(speaker).give_back();
    }

    /// Counts what is not shown one by one. To be called before it is removed.
    ///
    /// # Errors
    /// When it cannot be written down.
    pub(crate) fn fold(&mut self, speaker: &Speaker, count: u64) -> io::Result<()> {
        if count == 0 {
            return Ok(());
        }
        let line = Line::Folded {
            speaker: speaker.clone(),
            count,
        };
        self.ledger.note(line)?;
        self.metrics.folded(speaker.side, count);
        self.window(speaker).fold(count, Instant::now());
        Ok(())
    }

    /// When the next line for the rest is due.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.windows.values().filter_map(Window::due).min()
    }

    /// Takes the lines for the rest that are due.
    ///
    /// # Errors
    /// When they cannot be written down.
    pub(crate) fn tell_the_rest(&mut self) -> io::Result<()> {
        let now = Instant::now();
        let due: Vec<Speaker> = self
            .windows
            .iter()
            .filter(|(_, window)| window.due().is_some_and(|at| at <= now))
            .map(|(speaker, _)| speaker.clone())
            .collect();
        for speaker in due {
            if let Some(count) = self.window(&speaker).take_due(now) {
                let notice = Notice::of_the_rest(&speaker, count);
                let wants = |rule: &Rule, notice: &Notice| rule.wants_some(notice, local_time());
                self.add(notice, None, Some(speaker), wants)?;
            }
        }
        Ok(())
    }

    /// Takes a notice that was admitted: written down for every outlet that wants it.
    ///
    /// # Errors
    /// When it cannot be written down.
    pub(crate) fn take(&mut self, notice: Notice, origin: Option<Origin>) -> io::Result<()> {
        let wants = |rule: &Rule, notice: &Notice| rule.wants(notice, local_time());
        self.add(notice, origin, None, wants)
    }

    /// Takes a notice that stands only where the one that it replaces stood.
    ///
    /// # Errors
    /// When it cannot be written down.
    pub(crate) fn take_in_place(&mut self, notice: Notice) -> io::Result<()> {
        self.add(notice, None, None, |_, _| false)
    }

    /// What outlets call a notice.
    pub(crate) fn handles(&self, id: &NoticeId) -> BTreeMap<String, Handle> {
        let mut handles = BTreeMap::new();
        for (_, places) in self.places.iter().filter(|(of, _)| of == id) {
            handles.extend(places.clone());
        }
        for (_, entry) in self.ledger.entries() {
            if entry.notice.id == *id {
                handles.extend(entry.handles.clone());
            }
        }
        handles
    }

    fn add(
        &mut self,
        notice: Notice,
        origin: Option<Origin>,
        tells: Option<Speaker>,
        wants: impl Fn(&Rule, &Notice) -> bool,
    ) -> io::Result<()> {
        let (earlier, closes) = self.places_for(&notice);
        let wanted = self.mounted.iter().filter(|m| wants(&m.rule, &notice));
        let mut outlets: Vec<String> = wanted.map(|m| m.outlet.name().to_owned()).collect();
        // Where the old one stands, the new one stands in its place, wanted or not.
        outlets.extend(earlier.keys().cloned());
        outlets.sort();
        outlets.dedup();
        let taken = Taken {
            notice,
            origin,
            outlets,
            earlier,
            closes,
            tells,
        };
        self.ledger.take(unix_now(), taken)?;
        self.make_room()
    }

    /// What outlets call the notices whose place this one takes, and those of them that still wait.
    fn places_for(&self, notice: &Notice) -> (BTreeMap<String, Handle>, Vec<u64>) {
        let mut earlier = BTreeMap::new();
        let mut closes = Vec::new();
        for id in [Some(&notice.id), notice.replaces.as_ref()]
            .into_iter()
            .flatten()
        {
            earlier.extend(self.handles(id));
            let same = self
                .ledger
                .entries()
                .filter(|(_, entry)| entry.notice.id == *id);
            closes.extend(same.map(|(seq, _)| seq));
        }
        (earlier, closes)
    }

    /// Remembers where a notice stands, for one that takes its place.
    pub(crate) fn place(&mut self, id: &NoticeId, outlet: &str, handle: Handle) {
        if let Some((_, handles)) = self.places.iter_mut().find(|(of, _)| of == id) {
            handles.insert(outlet.to_owned(), handle);
            return;
        }
        let handles = BTreeMap::from([(outlet.to_owned(), handle)]);
        self.places.push_back((id.clone(), handles));
        if self.places.len() > MOST_PLACES {
            self.places.pop_front();
        }
    }

    /// What an outlet called its notices means nothing any more.
    pub(crate) fn forget_places(&mut self, outlet: &str) {
        for (_, handles) in &mut self.places {
            handles.remove(outlet);
        }
        self.ledger.forget_handles(outlet);
    }

    /// Gives up the oldest notices where there are too many: no outlet takes them.
    fn make_room(&mut self) -> io::Result<()> {
        while self.ledger.len() > MOST_WAITING {
            let Some((seq, entry)) = self.ledger.entries().next() else {
                break;
            };
            let outlets: Vec<String> = entry.outlets.keys().cloned().collect();
            self.ledger.note(Line::Closed { seq })?;
            for outlet in outlets {
                self.metrics.notice(&outlet, crate::metrics::Ended::Dropped);
                self.ledger.note(Line::GaveUp { seq, outlet })?;
            }
        }
        Ok(())
    }
}

/// The time of the day here.
pub(crate) fn local_time() -> jiff::civil::Time {
    jiff::Zoned::now().time()
}

/// Unix seconds.
pub(crate) fn unix_now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}
