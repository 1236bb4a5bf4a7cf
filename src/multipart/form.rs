//! A form and its parts.

use std::any::Any;
use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

use async_trait::async_trait;

use super::head::PartHead;
use super::parser::Parser;
use super::{Boundary, FormError, FormLimits};
use crate::bytes::{Blob, Body, BodyError, ByteSource};

/// A form that is still arriving. Its parts come in order; going to the next one passes over what is left of the one before.
pub struct Form {
    parser: SharedParser,
}

/// A part of a form: what it says of itself, and its bytes on their way.
pub struct Part {
    pub head: PartHead,
    /// Its length is promised where the part's own headers promise it, or its end was read already. A read of it that is dropped ends
    /// the form.
    pub body: Body,
    /// The length of `body` in bytes if this is the last part and the form ends with a line break, as most clients end it. Only the
    /// last byte can show whether it is so; see [`Body::promising`].
    pub size_if_last_bytes: Option<u64>,
}

/// The parser, absent while a read of it is under way, and after one that was dropped.
type SharedParser = Rc<RefCell<Option<Parser>>>;

impl Form {
    /// The form that `body` is.
    #[must_use]
    pub fn new(body: Body, boundary: &Boundary, limits: FormLimits) -> Self {
        Self { parser: Rc::new(RefCell::new(Some(Parser::new(body, boundary, limits)))) }
    }

    /// The next part, `None` at the end of the form. What follows the end is not read.
    ///
    /// # Errors
    /// [`FormError`]; the parts of before were whole.
    pub async fn next_part(&mut self) -> Result<Option<Part>, FormError> {
        let mut parser = taken(&self.parser)?;
        let head = parser.next_head().await?;
        let part = head.map(|head| {
            // What its headers say counts also where the end was read: whether it holds must not depend on how the bytes came.
            let promised_bytes = head.promised_bytes.or_else(|| parser.known_rest_bytes());
            let source = PartSource { parser: Rc::clone(&self.parser), part: parser.parts };
            let body = Body::from_source(Box::new(source), promised_bytes);
            Part { head, body, size_if_last_bytes: parser.rest_if_last_bytes() }
        });
        self.parser.replace(Some(parser));
        Ok(part)
    }
}

/// Takes the parser, which the caller puts back.
fn taken(parser: &SharedParser) -> Result<Parser, BodyError> {
    parser.take().ok_or_else(|| BodyError::Interrupted("an earlier read of the form failed".to_owned()))
}

/// The bytes of a part, as long as it is the current one.
struct PartSource {
    parser: SharedParser,
    part: usize,
}

impl PartSource {
    /// The parser, while it is at this part.
    fn parser(&self) -> Result<Parser, BodyError> {
        let parser = taken(&self.parser)?;
        if parser.parts == self.part {
            return Ok(parser);
        }
        self.parser.replace(Some(parser));
        Err(BodyError::Interrupted("the form was read on".to_owned()))
    }
}

#[async_trait(?Send)]
impl ByteSource for PartSource {
    async fn peek(&mut self, max_bytes: usize) -> Result<Vec<u8>, BodyError> {
        let mut parser = self.parser()?;
        let bytes = parser.peek(max_bytes).await?;
        self.parser.replace(Some(parser));
        Ok(bytes)
    }

    async fn next(&mut self, max_bytes: usize) -> Result<Option<Blob>, BodyError> {
        let mut parser = self.parser()?;
        let run = parser.next(max_bytes).await?;
        self.parser.replace(Some(parser));
        Ok(run)
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

impl fmt::Debug for Part {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Part({:?}, {:?})", self.head, self.body)
    }
}
