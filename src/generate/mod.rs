//! Pictures from prompts: one trait, several providers, and a chain that tries them in order.
//!
//! A provider's bytes are believed only as an [`ImageFile`], which can be made in no other way than by looking at them.

mod arriving;
mod chain;
mod error;
mod generator;
mod image_file;
mod json_answer;
pub mod openai;
mod output;
mod parameter;
pub mod placeholder;
mod provider;
mod request;
mod settings;
mod size;
pub mod workers_ai;

pub use chain::{AllFailed, Chain, Generation};
pub use error::{GenerateError, Problem};
pub use generator::{GeneratedImage, Generator};
pub use image_file::{ImageFile, MAX_GENERATED_BYTES};
pub use output::{Background, Field, Output, OutputFormat};
pub use parameter::InvalidParameter;
pub use provider::{ProviderName, Unconfigured};
pub use request::{GenerateRequest, Prompt, Quality, Style};
pub use settings::{ApiKey, BaseUrl, ModelName};
pub use size::{CustomSize, Size};
