//! What a case is: a technique, and what must be told of it.

/// A case of the suite, built by the words below.
pub struct Case {
    /// As `evade` knows it.
    pub technique: &'static str,
    /// In a few words, for people.
    pub name: &'static str,
    /// Everything that must be told. Nothing: nothing may be told.
    pub told: Vec<Told>,
    /// Whether `evade` prepares before fimk starts.
    pub early: bool,
    /// Whether `evade` lives on until the end of the run, with all that it holds.
    pub keeps: bool,
    /// What is asked of the BPF source.
    pub bpf: Need,
    /// What is asked of the fanotify source.
    pub fanotify: Need,
    /// What is asked of comparing at an interval, which sees what is there in the end.
    pub periodic: Need,
}

/// What is asked of a source.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// An event by an event, that names the process.
    Named,
    /// An event that names the process, however it was found.
    Slow,
    /// An event, however it was found; it may name nobody, but nobody wrong.
    Seen,
    /// Nothing: no source sees it. What the scheduled comparison finds is shown.
    Unseen,
    /// Nothing, and nothing is waited for: no comparison finds it either.
    Never,
}

/// What must be told.
pub struct Told {
    /// One of these is `event.action`.
    pub actions: &'static [&'static str],
    /// `file.path`, below the watched directory; empty: that directory.
    pub path: &'static [u8],
    /// Whether the event must have the digest of what the file is afterwards.
    pub content: bool,
    /// A subject or a field that `fimk.changes` must have.
    pub change: Option<&'static str>,
    /// `fimk.accessed_path`, below the other directory; asked of the BPF source only.
    pub accessed: Option<&'static str>,
    /// What a comparison may call it besides.
    pub compared_as: &'static [&'static str],
    /// The path is only the beginning of `file.path`.
    pub beginning: bool,
}

/// A case with nothing to be told yet.
pub fn case(technique: &'static str, name: &'static str) -> Case {
    Case {
        technique,
        name,
        told: Vec::new(),
        early: false,
        keeps: false,
        bpf: Need::Named,
        fanotify: Need::Named,
        periodic: Need::Seen,
    }
}

impl Case {
    /// `file` has other content.
    pub fn modified(self) -> Self {
        self.content("file")
    }

    /// This file has other content.
    pub fn content(self, path: &'static str) -> Self {
        self.tells(&["modified"], path.as_bytes(), |told| told.content = true)
    }

    /// An attribute of `file` is another: a field of `fimk.changes`.
    pub fn attribute(self, field: &'static str) -> Self {
        self.tells(&["attributes_modified"], b"file", |told| {
            told.change = Some(field);
        })
    }

    /// What has this name has this content, however it came there.
    pub fn content_of_name(self, path: &'static str) -> Self {
        let actions = &["modified", "renamed", "created"];
        self.tells(actions, path.as_bytes(), |told| told.content = true)
    }

    /// One of these actions on this path.
    pub fn told(self, actions: &'static [&'static str], path: &'static str) -> Self {
        self.tells(actions, path.as_bytes(), |_| {})
    }

    /// A new file with what it holds in the end.
    pub fn made(self, path: &'static str) -> Self {
        self.made_as(path.as_bytes())
    }

    /// As [`Self::made`], by any bytes.
    pub fn made_as(self, path: &'static [u8]) -> Self {
        self.tells(&["created", "linked", "modified"], path, |told| {
            told.content = true;
        })
    }

    /// One of these actions on a path that begins so.
    pub fn told_below(self, actions: &'static [&'static str], path: &'static str) -> Self {
        self.tells(actions, path.as_bytes(), |told| told.beginning = true)
    }

    fn tells(
        mut self,
        actions: &'static [&'static str],
        path: &'static [u8],
        further: impl FnOnce(&mut Told),
    ) -> Self {
        let mut told = Told {
            actions,
            path,
            content: false,
            change: None,
            accessed: None,
            compared_as: &[],
            beginning: false,
        };
        further(&mut told);
        self.told.push(told);
        self
    }

    /// By this name in the other directory.
    pub fn through(mut self, path: &'static str) -> Self {
        for told in &mut self.told {
            told.accessed = Some(path);
        }
        self
    }

    /// `evade` prepares before fimk starts.
    pub fn prepared_before(mut self) -> Self {
        self.early = true;
        self
    }

    /// `evade` lives on.
    pub fn kept(mut self) -> Self {
        self.keeps = true;
        self
    }

    /// fanotify says nothing of it: the slow look finds it.
    pub fn slow_for_fanotify(mut self) -> Self {
        self.fanotify = Need::Seen;
        self
    }

    /// fanotify says that something happened, and nobody without privileges finds what.
    pub fn unseen_by_fanotify(mut self) -> Self {
        (self.fanotify, self.periodic) = (Need::Never, Need::Never);
        self
    }

    /// Nothing is left of it that a comparison could find.
    pub fn unseen_by_comparing(mut self) -> Self {
        self.periodic = Need::Never;
        self
    }

    /// In the end it is as if it had been done so: a comparison may say that.
    pub fn compared_as(mut self, actions: &'static [&'static str]) -> Self {
        for told in &mut self.told {
            told.compared_as = actions;
        }
        self
    }

    /// No source says it at once; who holds the file is told.
    pub fn by_holder(mut self) -> Self {
        (self.bpf, self.fanotify) = (Need::Slow, Need::Slow);
        self
    }

    /// No source says who, or says it at once.
    pub fn slow(mut self) -> Self {
        (self.bpf, self.fanotify) = (Need::Seen, Need::Seen);
        self
    }

    /// No source sees it.
    pub fn unseen(mut self) -> Self {
        (self.bpf, self.fanotify, self.periodic) = (Need::Unseen, Need::Unseen, Need::Unseen);
        self
    }
}
