//! What is in a picture: one of four kinds of landscape, in colours that belong together.

use super::chance::Chance;
use super::colour::{Colour, sine};
use super::paint::{Disc, Gradient, Ridge, Scene};
use crate::image::{Dimensions, Sha256Digest};

/// Hues of the sky, of what is near, and of the light.
const PALETTES: [[f32; 3]; 10] = [
    [0.80, 0.72, 0.13],
    [0.58, 0.66, 0.22],
    [0.50, 0.39, 0.27],
    [0.17, 0.06, 0.25],
    [0.96, 0.87, 0.18],
    [0.66, 0.75, 0.98],
    [0.76, 0.54, 0.42],
    [0.88, 0.80, 0.07],
    [0.72, 0.46, 0.17],
    [0.62, 0.84, 0.04],
];

/// The space to compose in, in pixels.
#[derive(Clone, Copy)]
struct Canvas {
    width: f32,
    height: f32,
    /// The shorter side, which shapes are measured by.
    unit: f32,
}

/// Colours that belong together.
struct Palette {
    sky_hue: f32,
    near_hue: f32,
    light_hue: f32,
    chroma: f32,
    mood: Mood,
}

#[derive(Clone, Copy, PartialEq)]
enum Mood {
    Day,
    Dusk,
    Night,
}

/// The picture that belongs to `digest`; `vividness` scales how colourful it is, 1 is the middle.
pub fn compose(digest: Sha256Digest, dimensions: Dimensions, vividness: f32) -> Scene {
    let mut chance = Chance::new(digest);
    let (width, height) = (dimensions.width as f32, dimensions.height as f32);
    let canvas = Canvas { width, height, unit: width.min(height) };
    let palette = Palette::draw(&mut chance, vividness);
    let composition = chance.one_of([hills, hills, waves, waves, orbs, rings]);
    composition(&mut chance, canvas, &palette)
}

impl Palette {
    fn draw(chance: &mut Chance, vividness: f32) -> Self {
        let [sky_hue, near_hue, light_hue] = chance.one_of(PALETTES);
        let mut near = |hue: f32| hue + chance.between(-0.03, 0.03);
        let (sky_hue, near_hue, light_hue) = (near(sky_hue), near(near_hue), near(light_hue));
        let mood = chance.one_of([Mood::Day, Mood::Dusk, Mood::Dusk, Mood::Night]);
        Self { sky_hue, near_hue, light_hue, chroma: chance.between(0.08, 0.12) * vividness, mood }
    }

    fn sky(&self, height: f32) -> Gradient {
        let (top, bottom) = match self.mood {
            Mood::Day => (0.76, 0.95),
            Mood::Dusk => (0.48, 0.86),
            Mood::Night => (0.17, 0.46),
        };
        Gradient {
            top: Colour::new(top, self.chroma, self.sky_hue),
            bottom: Colour::new(bottom, self.chroma * 0.8, self.light_hue),
            height,
        }
    }

    /// The sun or the moon.
    fn lamp(&self) -> Colour {
        match self.mood {
            Mood::Day => Colour::new(0.98, 0.05, self.light_hue),
            Mood::Dusk => Colour::new(0.92, 0.10, self.light_hue),
            Mood::Night => Colour::new(0.94, 0.04, self.light_hue),
        }
    }

    /// A thing at `nearness` of 0, the horizon, to 1, our feet.
    fn land(&self, nearness: f32) -> Colour {
        let (far, near) = match self.mood {
            Mood::Day => (0.84, 0.42),
            Mood::Dusk => (0.68, 0.24),
            Mood::Night => (0.40, 0.12),
        };
        let far = Colour::new(far, self.chroma * 0.7, self.sky_hue);
        far.mix(Colour::new(near, self.chroma, self.near_hue), nearness)
    }
}

/// Ridges that get darker and rougher towards us, with mist between them, under a sun or moon.
fn hills(chance: &mut Chance, canvas: Canvas, palette: &Palette) -> Scene {
    let horizon = canvas.height * chance.between(0.45, 0.6);
    let discs = lamp(chance, canvas, palette, horizon);
    let count = chance.one_of([4, 5, 6]);
    let ridges = (0..count)
        .map(|index| {
            let nearness = (index as f32 + 0.5) / count as f32;
            let base = horizon + (canvas.height - horizon) * (index as f32 / count as f32) * 0.95;
            let swing = canvas.unit * (0.05 + 0.06 * nearness) * chance.between(0.8, 1.4);
            let spacing = canvas.unit * chance.between(0.35, 0.6);
            let line = rolling(chance, canvas, base, swing, spacing);
            let mist = palette.land(nearness * 0.5).mix(palette.sky(1.0).bottom, 0.3);
            Ridge::new(&line, palette.land(nearness), mist, canvas.height * 0.36)
        })
        .collect();
    Scene { sky: palette.sky(horizon * 1.05), discs, ridges }
}

/// Long swells, lit at their crests and dark in their troughs.
fn waves(chance: &mut Chance, canvas: Canvas, palette: &Palette) -> Scene {
    let horizon = canvas.height * chance.between(0.30, 0.5);
    let discs = lamp(chance, canvas, palette, horizon);
    let count = chance.one_of([5, 6, 7, 8]);
    let drift = chance.between(-0.10, 0.10);
    let ridges = (0..count)
        .map(|index| {
            let nearness = (index as f32 + 0.5) / count as f32;
            let base = horizon + (canvas.height - horizon) * (index as f32 / count as f32);
            let swing = canvas.unit * (0.012 + 0.055 * nearness);
            let length = canvas.unit * chance.between(0.7, 1.2) * (0.5 + nearness);
            let (phase, second) = (chance.between(0.0, 1.0), chance.between(0.0, 1.0));
            let line: Vec<f32> = (0..canvas.width as usize)
                .map(|column| {
                    let x = column as f32;
                    let tilt = (x - canvas.width / 2.0) * drift * nearness;
                    base + tilt + swing * (sine(x / length + phase) + 0.3 * sine(x / length * 2.3 + second))
                })
                .collect();
            let lit = palette.land(nearness * 0.7).mix(palette.lamp(), 0.3 - 0.2 * nearness);
            let deep = palette.land(0.35 + nearness * 0.65);
            Ridge::new(&line, lit, deep, canvas.unit * (0.07 + 0.20 * nearness))
        })
        .collect();
    Scene { sky: palette.sky(horizon * 1.05), discs, ridges }
}

/// Overlapping translucent discs, large ones behind.
fn orbs(chance: &mut Chance, canvas: Canvas, palette: &Palette) -> Scene {
    let count = chance.one_of([7, 8, 9]);
    let discs = (0..count)
        .map(|index| {
            let share = index as f32 / count as f32;
            let hue = chance.one_of([palette.sky_hue, palette.near_hue, palette.near_hue, palette.light_hue]);
            let lightness = palette.sky(1.0).bottom.lightness.clamp(0.64, 0.8) + chance.between(-0.12, 0.12);
            let top = Colour::new(lightness + 0.06, palette.chroma, hue);
            Disc {
                x: canvas.width * chance.between(0.02, 0.98),
                y: canvas.height * chance.between(0.05, 0.95),
                radius: canvas.unit * (0.36 - 0.28 * share) * chance.between(0.8, 1.2),
                top,
                bottom: Colour { chroma: palette.chroma * 1.3, ..top.lighter(-0.18) },
                alpha: chance.between(0.3, 0.7),
                fades: false,
            }
        })
        .collect();
    Scene { sky: palette.sky(canvas.height), discs, ridges: Vec::new() }
}

/// Rings of light around a low sun, behind two ridges.
fn rings(chance: &mut Chance, canvas: Canvas, palette: &Palette) -> Scene {
    let (x, y) = (canvas.width * chance.between(0.2, 0.8), canvas.height * chance.between(0.5, 0.7));
    let count = chance.one_of([6, 7, 8, 9]);
    let sky = palette.sky(canvas.height);
    let discs = (0..count)
        .map(|index| {
            let share = (index as f32 + 1.0) / count as f32;
            let radius = canvas.width.max(canvas.height) * 0.85 * (1.0 - share) + canvas.unit * 0.10;
            let colour = sky.top.mix(palette.lamp(), share);
            Disc { x, y, radius, top: colour.lighter(0.02), bottom: colour.lighter(-0.04), alpha: 1.0, fades: false }
        })
        .collect();
    let ridges = [0.55, 0.95].map(|nearness| {
        let base = canvas.height * (0.62 + 0.26 * nearness);
        let line = rolling(chance, canvas, base, canvas.unit * 0.08, canvas.unit * 0.55);
        let colour = palette.land(nearness);
        Ridge::new(&line, colour, colour.lighter(-0.06), canvas.height * 0.3)
    });
    Scene { sky, discs, ridges: ridges.into() }
}

/// The sun or the moon with its light, above `horizon`; stars at night.
fn lamp(chance: &mut Chance, canvas: Canvas, palette: &Palette, horizon: f32) -> Vec<Disc> {
    let colour = palette.lamp();
    let disc = |x: f32, y: f32, radius: f32, alpha: f32| Disc {
        x,
        y,
        radius,
        top: colour,
        bottom: Colour { chroma: colour.chroma * 1.5, ..colour.lighter(-0.04) },
        alpha,
        fades: false,
    };
    let mut discs = Vec::new();
    if palette.mood == Mood::Night {
        for _ in 0..60 {
            let (x, y) = (canvas.width * chance.between(0.0, 1.0), horizon * chance.between(0.0, 0.9));
            discs.push(disc(x, y, canvas.unit * chance.between(0.0008, 0.0022), chance.between(0.4, 0.95)));
        }
    }
    let (x, y) = (canvas.width * chance.between(0.18, 0.82), horizon * chance.between(0.35, 0.95));
    let radius = canvas.unit * chance.between(0.055, 0.11);
    discs.push(Disc { fades: true, ..disc(x, y, radius * 4.5, 0.4) });
    discs.push(disc(x, y, radius, 1.0));
    discs
}

/// A line through random heights around `base`, smooth, with detail at a half and a quarter of `spacing`.
fn rolling(chance: &mut Chance, canvas: Canvas, base: f32, swing: f32, spacing: f32) -> Vec<f32> {
    let mut line = vec![base; canvas.width as usize];
    for octave in [1.0_f32, 2.0, 4.0] {
        let spacing = spacing / octave;
        let swing = swing / (octave * octave.sqrt());
        let offset = chance.between(0.0, 1.0);
        let heights: Vec<f32> =
            (0..(canvas.width / spacing) as usize + 3).map(|_| chance.between(-swing, swing)).collect();
        for (column, y) in line.iter_mut().enumerate() {
            let position = column as f32 / spacing + offset;
            let index = position as usize;
            let share = position - index as f32;
            if let (Some(left), Some(right)) = (heights.get(index), heights.get(index + 1)) {
                *y += left + (right - left) * share * share * (3.0 - 2.0 * share);
            }
        }
    }
    line
}
