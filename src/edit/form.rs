//! A multipart form on its way out.

use super::Picture;
use crate::bytes::Blob;

/// Bytes of a picture that are copied into wasm memory at a time.
const RUN_BYTES: usize = 1024 * 1024;
/// What a part's head and the form's end take at most.
const HEAD_BYTES: usize = 512;

/// A form under construction, in wasm memory.
pub struct FormBody {
    boundary: String,
    bytes: Vec<u8>,
}

impl FormBody {
    /// A form with room for texts and pictures of so many bytes, whose parts are told apart by what nobody can have put into one of them.
    pub fn new(random_bytes: [u8; 16], content_bytes: usize, parts: usize) -> Self {
        let boundary = format!("stillstore-{}", hex::encode(random_bytes));
        Self { boundary, bytes: Vec::with_capacity(content_bytes + (parts + 1) * HEAD_BYTES) }
    }

    /// Adds a field. `name` is one of ours.
    pub fn text(&mut self, name: &str, value: &str) {
        self.head(&format!("name=\"{name}\""), None);
        self.bytes.extend_from_slice(value.as_bytes());
        self.bytes.extend_from_slice(b"\r\n");
    }

    /// Adds a picture as a file. `name` is one of ours.
    pub fn picture(&mut self, name: &str, picture: &Picture) {
        let extension = picture.format.extension();
        let disposition = format!("name=\"{name}\"; filename=\"{name}.{extension}\"");
        self.head(&disposition, Some(picture.format.content_type()));
        self.blob(&picture.bytes);
        self.bytes.extend_from_slice(b"\r\n");
    }

    /// The content type and the bytes.
    pub fn finish(mut self) -> (String, Vec<u8>) {
        self.bytes.extend_from_slice(format!("--{}--\r\n", self.boundary).as_bytes());
        (format!("multipart/form-data; boundary={}", self.boundary), self.bytes)
    }

    fn head(&mut self, disposition: &str, content_type: Option<&str>) {
        let content_type = content_type.map(|media| format!("Content-Type: {media}\r\n")).unwrap_or_default();
        let head =
            format!("--{}\r\nContent-Disposition: form-data; {disposition}\r\n{content_type}\r\n", self.boundary);
        self.bytes.extend_from_slice(head.as_bytes());
    }

    fn blob(&mut self, blob: &Blob) {
        let mut at = 0;
        while at < blob.size_bytes() {
            self.bytes.extend(blob.slice(at..at + RUN_BYTES).to_vec());
            at += RUN_BYTES;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Format;

    #[test]
    fn a_form_has_its_parts_whole_and_in_order() {
        let mut form = FormBody::new([0xab; 16], 0, 2);
        form.text("prompt", "a \"fox\"\r\n--x");
        let bytes: Vec<u8> = (0..=255).cycle().take(RUN_BYTES + 3).collect();
        form.picture("image", &Picture { bytes: bytes.clone().into(), format: Format::Jpeg });
        let (content_type, body) = form.finish();
        let boundary = "stillstore-abababababababababababababababab";
        assert_eq!(content_type, format!("multipart/form-data; boundary={boundary}"));
        let head = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"prompt\"\r\n\r\na \"fox\"\r\n--x\r\n--{boundary}\r\n\
            Content-Disposition: form-data; name=\"image\"; filename=\"image.jpg\"\r\nContent-Type: image/jpeg\r\n\r\n"
        );
        let expected = [head.as_bytes(), &bytes, format!("\r\n--{boundary}--\r\n").as_bytes()].concat();
        assert!(body == expected);
    }
}
