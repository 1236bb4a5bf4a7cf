//! The built-in provider's pictures: real PNGs, the same for the same prompt, pleasant by the few measures that a test can take.

use std::collections::HashSet;

use stillstore::generate::placeholder::{self, Placeholder};
use stillstore::generate::{
    Background, Field, GenerateError, GenerateRequest, Generator, Output, OutputFormat, Prompt, Size, Style,
};
use stillstore::image::{Format, Sha256Digest};

use crate::generate_fakes::{now, with_memory};

struct Picture {
    width: usize,
    height: usize,
    pixels: Vec<[u8; 3]>,
}

fn draw(prompt: &str, size: Size, style: Option<Style>) -> Vec<u8> {
    let prompt = Prompt::parse(prompt).expect("prompt");
    placeholder::draw(&GenerateRequest { size, style, ..GenerateRequest::new(prompt) }).expect("drawn")
}

/// Decodes with checksums of chunks and data verified.
fn decode(file: &[u8]) -> Picture {
    let mut reader = png::Decoder::new(std::io::Cursor::new(file)).read_info().expect("header");
    let mut bytes = vec![0; reader.output_buffer_size().expect("a size")];
    let frame = reader.next_frame(&mut bytes).expect("frame");
    assert_eq!((frame.color_type, frame.bit_depth), (png::ColorType::Rgb, png::BitDepth::Eight));
    reader.finish().expect("trailer");
    let pixels = bytes.as_chunks::<3>().0.to_vec();
    Picture { width: frame.width as usize, height: frame.height as usize, pixels }
}

/// The share of pixels that look like their right neighbour: under a tenth for noise, all of them for one colour.
fn smoothness(picture: &Picture) -> f64 {
    let alike = |pair: &[[u8; 3]]| pair[0].iter().zip(pair[1]).all(|(left, right)| left.abs_diff(right) <= 2);
    let pairs = picture.pixels.chunks(picture.width).flat_map(|row| row.windows(2));
    let (alike, all) =
        pairs.fold((0.0, 0.0), |(count, all), pair| (count + f64::from(u8::from(alike(pair))), all + 1.0));
    alike / all
}

/// The mean distance of two pictures' channels, 0 to 255.
fn distance(one: &Picture, other: &Picture) -> usize {
    let channels = one.pixels.as_flattened().iter().zip(other.pixels.as_flattened());
    let differences: usize = channels.map(|(one, other)| usize::from(one.abs_diff(*other))).sum();
    differences / (one.pixels.len() * 3)
}

#[test]
fn the_picture_in_the_readme_is_of_the_prompt_that_it_says() {
    const README: &str = include_str!("../../README.md");
    assert!(README.contains("docs/images/lighthouse.png") && README.contains("\"prompt\": \"a lighthouse at dawn\""));
    let picture: &[u8] = include_bytes!("../../docs/images/lighthouse.png");
    assert!(draw("a lighthouse at dawn", Size::Square512, None) == picture);
}

#[test]
fn the_same_prompt_makes_the_same_bytes_on_every_machine() {
    let file = draw("a lighthouse at dusk", Size::Square1024, None);
    assert_eq!(
        Sha256Digest::of(&file).to_string(),
        "4568fa74587badfcd36fd753803829a493c96ba632d11869da87d122c3f40bbb",
        "placeholders of stored prompts change: intended?"
    );
}

#[test]
fn every_size_is_drawn_in_its_dimensions_and_auto_is_square() {
    for size in Size::FIXED {
        let picture = decode(&draw("one of every size", size, None));
        let expected = size.dimensions().map_or((1024, 1024), |size| (size.width as usize, size.height as usize));
        assert_eq!((picture.width, picture.height), expected, "{size:?}");
    }
}

#[test]
fn other_sizes_are_drawn_in_their_dimensions_within_the_limit_of_a_generated_image() {
    for text in ["3840x2160", "480x1408", "1024x640"] {
        let file = draw("prompt number 0", Size::parse(text).expect(text), None);
        let picture = decode(&file);
        assert_eq!(format!("{}x{}", picture.width, picture.height), text);
        assert!((0.9..0.9999).contains(&smoothness(&picture)), "{text}");
        // A 20th of what a provider may answer.
        assert!(file.len() <= 1024 * 1024, "{} bytes at {text}", file.len());
    }
}

#[test]
fn each_of_several_pictures_is_another_and_always_the_same() {
    let drawn = |variation| {
        let prompt = Prompt::parse("a fox").expect("prompt");
        let request = GenerateRequest { size: Size::Square256, variation, ..GenerateRequest::new(prompt) };
        placeholder::draw(&request).expect("drawn")
    };
    let files = [0, 1, 2, 3].map(drawn);
    assert_eq!(files, [0, 1, 2, 3].map(drawn));
    assert_eq!(files[0], draw("a fox", Size::Square256, None));
    for (index, one) in files.iter().enumerate() {
        for other in files.iter().skip(index + 1) {
            assert!(distance(&decode(one), &decode(other)) > 12);
        }
    }
}

#[test]
fn it_makes_opaque_pngs_and_refuses_anything_else() {
    let made = |background, format, compression| {
        let prompt = Prompt::parse("a fox").expect("prompt");
        let output = Output::new(background, format, compression).expect("an output");
        let request = GenerateRequest { size: Size::Square256, output, ..GenerateRequest::new(prompt) };
        with_memory(|memory| now(Placeholder.generate(&request, memory))).map(|image| image.file.format())
    };
    for (background, format) in [(Some(Background::Opaque), Some(OutputFormat::Png)), (Some(Background::Auto), None)] {
        assert_eq!(made(background, format, None), Ok(Format::Png));
    }
    let unsupported = |field| Err(GenerateError::Unsupported { field });
    assert_eq!(made(Some(Background::Transparent), None, None), unsupported(Field::Background));
    assert_eq!(made(None, Some(OutputFormat::Jpeg), Some(80)), unsupported(Field::OutputFormat));
    assert_eq!(made(None, Some(OutputFormat::Webp), None), unsupported(Field::OutputFormat));
}

#[test]
fn files_are_small_and_neither_flat_nor_noise() {
    for index in 0..6 {
        let file = draw(&format!("prompt number {index}"), Size::Square1024, None);
        assert!(file.len() <= 160 * 1024, "{} bytes for prompt {index}", file.len());
        let picture = decode(&file);
        let colours: HashSet<_> = picture.pixels.iter().step_by(17).collect();
        assert!(colours.len() > 100, "{} colours for prompt {index}", colours.len());
        let smoothness = smoothness(&picture);
        assert!((0.9..0.9999).contains(&smoothness), "{smoothness} smooth for prompt {index}");
    }
}

#[test]
fn wide_and_tall_files_are_small() {
    for size in [Size::Landscape1792, Size::Portrait1792] {
        for index in 0..3 {
            let bytes = draw(&format!("prompt number {index}"), size, None).len();
            assert!(bytes <= 256 * 1024, "{bytes} bytes for prompt {index} at {size:?}");
        }
    }
}

#[test]
fn different_prompts_look_different() {
    let prompts = ["a fox", "a foy", "A fox", "the sea", "coffee", "a robot", "Lisbon", "winter", "the moon"];
    let pictures = prompts.map(|prompt| decode(&draw(prompt, Size::Square256, None)));
    for (index, one) in pictures.iter().enumerate() {
        for (other_index, other) in pictures.iter().enumerate().skip(index + 1) {
            let distance = distance(one, other);
            assert!(distance > 12, "{} and {} are {distance} apart", prompts[index], prompts[other_index]);
        }
    }
}

#[test]
fn vivid_is_more_colourful_than_natural() {
    let colourfulness = |style| {
        let picture = decode(&draw("a market in spring", Size::Square256, Some(style)));
        let spread = |pixel: &[u8; 3]| u64::from(pixel.iter().max().unwrap() - pixel.iter().min().unwrap());
        picture.pixels.iter().map(spread).sum::<u64>()
    };
    assert!(colourfulness(Style::Vivid) > colourfulness(Style::Natural) * 5 / 4);
}
