//! Fakes at the seams of jobs: an editor that says what it is told to, and a queue that keeps what it is given.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use async_trait::async_trait;
use stillstore::catalog::jobs::Tier;
use stillstore::config::JobVariables;
use stillstore::edit::{EditRequest, Editor, Picture, TierSettings};
use stillstore::generate::{GenerateError, GeneratedImage, ImageFile};
use stillstore::image::Format;
use stillstore::library::GenerationShare;
use stillstore::queue::{MESSAGES_AT_ONCE, Message, RunQueue};
use stillstore::vision::{self, Look, Seen, Vision};

/// What the n-th edit answers with: a whole PNG, another each time.
pub fn edited(nth: usize) -> Vec<u8> {
    let pixel = u8::try_from(nth).unwrap();
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, 1, 1);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.write_header().unwrap().write_image_data(&[pixel]).unwrap();
    bytes
}

/// What an editor was asked for.
pub struct Edit {
    pub request: EditRequest,
    pub original: Vec<u8>,
    pub mask: Option<Vec<u8>>,
}

/// Answers with [`edited`], or with the errors that a test lines up.
pub struct Retoucher {
    tiers: [TierSettings; 2],
    pub errors: RefCell<Vec<GenerateError>>,
    /// What was asked for, call by call.
    pub edits: RefCell<Vec<Edit>>,
    /// Waits as long as this says before it answers.
    pub hangs: Cell<bool>,
}

impl Retoucher {
    pub fn new(variables: &JobVariables) -> Rc<Self> {
        let tiers = [variables.standard.clone(), variables.premium.clone()];
        Rc::new(Self { tiers, errors: RefCell::default(), edits: RefCell::default(), hangs: Cell::new(false) })
    }

    pub fn calls(&self) -> usize {
        self.edits.borrow().len()
    }
}

#[async_trait(?Send)]
impl Editor for Retoucher {
    fn name(&self) -> &'static str {
        "retoucher"
    }

    fn tier(&self, tier: Tier) -> &TierSettings {
        match tier {
            Tier::Standard => &self.tiers[0],
            Tier::Premium => &self.tiers[1],
        }
    }

    fn takes(&self, format: Format) -> bool {
        format == Format::Png
    }

    fn max_bytes(&self) -> u64 {
        10_000
    }

    async fn edit(
        &self,
        request: &EditRequest,
        original: Picture,
        mask: Option<Picture>,
        memory: &GenerationShare<'_>,
    ) -> Result<GeneratedImage, GenerateError> {
        let mask = mask.map(|mask| mask.bytes.to_vec());
        let original = original.bytes.to_vec();
        self.edits.borrow_mut().push(Edit { request: request.clone(), original, mask });
        if self.hangs.get() {
            std::future::pending::<()>().await;
        }
        let error = self.errors.borrow_mut().pop();
        if let Some(error) = error {
            return Err(error);
        }
        let bytes = edited(self.calls());
        memory.hold_answer(bytes.len() as u64).await;
        Ok(GeneratedImage { model: Some("retouch-1".to_owned()), ..GeneratedImage::new(ImageFile::inspect(bytes)?) })
    }
}

/// Says of each picture how long it is, or what a test lines up.
#[derive(Default)]
pub struct Onlooker {
    pub errors: RefCell<Vec<GenerateError>>,
    /// How many pictures each call had.
    pub calls: RefCell<Vec<usize>>,
}

#[async_trait(?Send)]
impl Vision for Onlooker {
    fn name(&self) -> &'static str {
        "onlooker"
    }

    fn model(&self) -> Option<&str> {
        Some("look-1")
    }

    fn takes(&self, format: Format) -> bool {
        format == Format::Png
    }

    fn max_bytes(&self) -> u64 {
        10_000
    }

    fn room_bytes(&self, size_bytes: u64) -> u64 {
        size_bytes
    }

    fn answers_questions(&self) -> bool {
        true
    }

    async fn look(
        &self,
        pictures: Vec<vision::Picture>,
        question: Option<&str>,
        _: &GenerationShare<'_>,
    ) -> Result<Look, GenerateError> {
        self.calls.borrow_mut().push(pictures.len());
        let error = self.errors.borrow_mut().pop();
        if let Some(error) = error {
            return Err(error);
        }
        let seen = |picture: &vision::Picture| Seen {
            text: Some(format!("{} bytes", picture.bytes.size_bytes())),
            ..Seen::default()
        };
        let summary = Some(format!("{} pictures{}", pictures.len(), question.unwrap_or_default()));
        Ok(Look { summary, pictures: pictures.iter().map(seen).collect() })
    }
}

/// Keeps messages until a test delivers them.
#[derive(Default)]
pub struct Mailbox {
    /// With the seconds that they are delayed.
    pub messages: RefCell<Vec<(Message, u32)>>,
    pub is_down: Cell<bool>,
}

#[async_trait(?Send)]
impl RunQueue for Mailbox {
    async fn send_all(&self, messages: &[Message], delay_s: u32) -> Result<(), String> {
        assert!(!messages.is_empty() && messages.len() <= MESSAGES_AT_ONCE);
        if self.is_down.get() {
            return Err("the queue is down".to_owned());
        }
        self.messages.borrow_mut().extend(messages.iter().map(|message| (message.clone(), delay_s)));
        Ok(())
    }
}
