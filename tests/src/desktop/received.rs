//! What arrived at a notification daemon.

/// One `Notify` call, as the daemon understood it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// The daemon's id for it; the same id twice is a replacement.
    pub id: u32,
    /// The sender's name.
    pub application: String,
    /// The title.
    pub summary: String,
    /// The text as it was sent: markup is not resolved.
    pub body: String,
    /// The text as it goes on the screen, in Pango's markup; the body where the daemon does not say.
    pub drawn: String,
    /// `LOW`, `NORMAL` or `CRITICAL`.
    pub urgency: String,
    /// Keys and labels.
    pub actions: Vec<(String, String)>,
}

impl Received {
    /// Reads what `dunst -print` says of every notification.
    #[must_use]
    pub fn printed(text: &str) -> Vec<Self> {
        text.split("\n{\n").skip(1).filter_map(Self::one).collect()
    }

    fn one(block: &str) -> Option<Self> {
        // The last line is written last: without it the block is still being written.
        let (block, _) = block.split_once("\n\tscript_count: ")?;
        let between = |from: &str, to: &str| {
            let (_, rest) = block.split_once(from)?;
            rest.split_once(to).map(|(text, _)| text.to_owned())
        };
        let (_, listed) = block.split_once("\n\tactions: {\n").unwrap_or_default();
        let actions = listed.lines().filter_map(|line| {
            let (key, label) = line.trim().strip_prefix('"')?.split_once("\": \"")?;
            Some((key.to_owned(), label.strip_suffix('"')?.to_owned()))
        });
        Some(Self {
            id: between("\n\tid: ", "\n")?.parse().ok()?,
            application: between("\tappname: '", "'\n\tsummary: '")?,
            summary: between("\n\tsummary: '", "'\n\tbody: '")?,
            body: between("\n\tbody: '", "'\n\ticon: '")?,
            drawn: between("\n\tformatted: '", "'\n\tfg: ")?,
            urgency: between("\n\turgency: ", "\n")?,
            actions: actions.collect(),
        })
    }
}
