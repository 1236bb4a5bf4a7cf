//! The geometry of an image whose bytes pass by and are not kept.

use super::reader::{Pieces, Reader, Source};
use super::{Format, Geometry, Rejection};
use crate::bytes::Blob;

/// How much of an image is kept at most to find its geometry.
const MAX_KEPT_BYTES: usize = 1024 * 1024;

/// The least that is waited for at a new place: a JPEG has hundreds of segments, of each of which a few bytes matter. Where reading
/// goes on without a gap, as much again as is there already: otherwise the start is parsed too often.
const PIECE_BYTES: usize = 512;

/// Follows the header of an image while its bytes pass by, and keeps only what tells the geometry: of a JPEG's metadata the
/// segments' lengths and the EXIF data, of an AVIF's or HEIC's the `meta` box, wherever in the file it lies.
#[derive(Debug)]
pub struct HeaderWalk {
    format: Format,
    pieces: Pieces,
    kept_bytes: usize,
    passed_bytes: u64,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Waits for `wanted_bytes` at `offset`, of which `kept` have come.
    Waiting {
        offset: u64,
        wanted_bytes: usize,
        kept: Vec<u8>,
    },
    Found(Option<Geometry>),
}

impl HeaderWalk {
    /// A walk through an image of `size_bytes`.
    #[must_use]
    pub fn new(format: Format, size_bytes: u64) -> Self {
        let mut walk =
            Self { format, pieces: Pieces::new(size_bytes), kept_bytes: 0, passed_bytes: 0, state: State::Found(None) };
        walk.parse();
        walk
    }

    /// The geometry, as far as it is known: `None` too when the image has none, breaks its format's rules, or needs more than 1 MiB to be
    /// kept.
    #[must_use]
    pub const fn geometry(&self) -> Option<Geometry> {
        match self.state {
            State::Found(geometry) => geometry,
            State::Waiting { .. } => None,
        }
    }

    /// Whether further bytes change nothing.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        matches!(self.state, State::Found(_))
    }

    /// Takes in the next bytes.
    pub fn pass(&mut self, run: &Blob) {
        let run_start = self.passed_bytes;
        self.passed_bytes += run.size_bytes() as u64;
        while let State::Waiting { offset, wanted_bytes, kept } = &mut self.state {
            let place = *offset + kept.len() as u64;
            let Some(from) = place.checked_sub(run_start).and_then(|from| usize::try_from(from).ok()) else { return };
            let piece = run.slice(from..from.saturating_add(*wanted_bytes - kept.len())).to_vec();
            self.kept_bytes += piece.len();
            kept.extend(&piece);
            if kept.len() < *wanted_bytes {
                return;
            }
            self.pieces.insert(*offset, std::mem::take(kept));
            self.parse();
        }
    }

    /// Makes do with what has come, where more was waited for than may be needed.
    pub fn settle(&mut self) {
        if let State::Waiting { offset, kept, .. } = &mut self.state
            && !kept.is_empty()
        {
            self.pieces.insert(*offset, std::mem::take(kept));
            self.parse();
        }
    }

    /// Parses what there is, from the start: the first place where it lacks bytes is where they are waited for.
    fn parse(&mut self) {
        let parsed = self.format.header(&mut Reader::new(&self.pieces));
        self.state = match (parsed, self.pieces.take_missing()) {
            (Err(Rejection::Truncated), Some((offset, wanted_bytes))) => self.wait(offset, wanted_bytes),
            (parsed, _) => State::Found(parsed.unwrap_or_default()),
        };
    }

    fn wait(&self, offset: u64, needed_bytes: usize) -> State {
        let left_bytes = usize::try_from(self.pieces.size_bytes().saturating_sub(offset)).unwrap_or(usize::MAX);
        let may_keep_bytes = MAX_KEPT_BYTES.saturating_sub(self.kept_bytes);
        if needed_bytes > may_keep_bytes {
            return State::Found(None);
        }
        let wanted_bytes = PIECE_BYTES.max(self.pieces.length_before(offset)).min(left_bytes).min(may_keep_bytes);
        State::Waiting { offset, wanted_bytes: wanted_bytes.max(needed_bytes), kept: Vec::new() }
    }
}
