//! Every bound, with its arithmetic and its answer. Each is a key of `[limits]` under its own name.

/// The bounds in force. `Limits::default()` is the documented default of each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// 64 sources × 8 KiB = 512 KiB for one user at worst. Beyond it: 403 with a reason, nothing stored (503 would take the
    /// whole server out of the peer's use, RFC 3261 §21.5.4).
    pub publications_per_user_max: u32,
    /// 200 000 × 400 B = 80 MB for the most watched user. Beyond it: 403.
    pub subscriptions_per_presentity_max: u32,
    /// 10 000 lists nobody has by hand; a resource list server's whole clientele may share one identity. Beyond it: 403.
    pub subscriptions_per_watcher_max: u32,
    /// One body of SIP. 64 KiB holds 100 tuples. Beyond it: 413.
    pub body_bytes_max: u32,
    /// The header section of one message: 64 KiB is far beyond RFC 4475's longest. Beyond it: 513.
    pub head_bytes_max: u32,
    /// One document that a user keeps: 256 KiB hold 4000 entries of a list, or 1000 rules. Beyond it: 413.
    pub document_bytes_max: u32,
    /// Documents of one user: 64 × 256 KiB = 16 MiB for one user at worst. Beyond it: 409, nothing stored.
    pub documents_per_user_max: u32,
    /// Depth of nested elements. PIDF with every extension needs 8. Beyond it: 400.
    pub xml_depth_max: u32,
    /// Elements and attributes of one document: 64 KiB hold no more than 16 384 in earnest. Beyond it: 400.
    pub xml_nodes_max: u32,
    /// Entries, references and lists of one document of lists: the longest by hand are some hundreds; each entry is a
    /// subscription where a list is watched. Beyond it: 409.
    pub list_entries_max: u32,
    /// Users of other shards of whose lists one shard keeps copies, because rules lead to them: 10 000 × 4 KB read, the text being shared by
    /// all shards = 40 MB. Beyond it: a list of anybody else matches nobody, until less is referred to and the rules change.
    pub lists_of_others_max: u32,
    /// What the live publications of one user hold together: 32 sources × 8 KiB = 256 KiB, composed in 25 ms at the very
    /// worst, during which her shard does nothing else. Beyond it: 413. Her permanent state comes on top, of no more than
    /// `body_bytes_max`.
    pub view_bytes_max: u32,
    /// Watchers in one document of watcher information: 10 000 × 150 B = 1.5 MB, below what is queued for one connection. Beyond it: those
    /// alone who wait for a decision, then those who have been there longest.
    pub watchers_per_document_max: u32,
    /// How long a watcher whose pending subscription lapsed is told of as waiting. A day: a presentity who looks once a day sees her.
    /// Beyond it: given up.
    pub waiting_seconds_max: u32,
    /// Watchers who wait for one presentity: 100 × 400 B = 40 KB, and no more than a person decides about. Beyond it: who has waited longest
    /// is given up.
    pub waiting_per_presentity_max: u32,
    /// Watchers who wait in one shard: 100 000 × 400 B = 40 MB. Beyond it: who has waited longest is given up.
    pub waiting_max: u32,
    /// Server transactions remembered by one shard: 500 000 × 600 B = 300 MB at worst, 32 s of 15 000 requests a second.
    /// Beyond it: 503 with Retry-After, the whole node is overloaded.
    pub transactions_max: u32,
    /// Unanswered NOTIFYs to one next hop; what is owed beyond waits for answers.
    pub unanswered_per_hop_max: u32,
    /// From one address that is neither loopback nor a trusted peer. Beyond it: 503 with Retry-After to that source.
    pub requests_per_second_per_source_max: u32,
    /// Wrong passwords from one address (IPv6: from one /64) that is neither loopback nor a trusted peer: 60 are many people's
    /// mistakes, and 30 million guesses a year. Beyond it: 503 with Retry-After to that source until the minute is over.
    pub auth_failures_per_minute_per_source_max: u32,
    /// TCP connections from one address that is neither loopback nor trusted. Beyond it: closed at once.
    pub connections_per_source_max: u32,
    /// Bytes queued towards one connection; a peer that reads slower is closed, nobody waits for it.
    pub connection_queue_bytes_max: u32,
    /// Resident memory of the process; new state is refused with 503 beyond. 0: 80 % of what this process may use.
    pub memory_bytes_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            publications_per_user_max: 64,
            subscriptions_per_presentity_max: 200_000,
            subscriptions_per_watcher_max: 10_000,
            body_bytes_max: 65_536,
            head_bytes_max: 65_536,
            document_bytes_max: 262_144,
            documents_per_user_max: 64,
            xml_depth_max: 32,
            xml_nodes_max: 16_384,
            list_entries_max: 4_000,
            lists_of_others_max: 10_000,
            view_bytes_max: 262_144,
            watchers_per_document_max: 10_000,
            waiting_seconds_max: 86_400,
            waiting_per_presentity_max: 100,
            waiting_max: 100_000,
            transactions_max: 500_000,
            unanswered_per_hop_max: 512,
            requests_per_second_per_source_max: 2_000,
            auth_failures_per_minute_per_source_max: 60,
            connections_per_source_max: 100,
            connection_queue_bytes_max: 4_194_304,
            memory_bytes_max: 0,
        }
    }
}
