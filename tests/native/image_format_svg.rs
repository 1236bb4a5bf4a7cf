//! The rules that inspection holds an SVG to, and its sizes.

use stillstore::image::Rejection;

use crate::image_format::dimensions_in_passing;
use crate::image_format_rules::{inspect, sides};

#[test]
fn svg_must_be_one_closed_root() {
    const OPEN: &str = "<svg xmlns='http://www.w3.org/2000/svg'>";
    let document = |rest: &str| inspect(format!("{OPEN}{rest}").as_bytes());
    assert_eq!(document("<a><b/></a></svg> <?done?> <!-- end --> \n"), Ok(Some((300, 150))));
    for (rest, rejection) in [
        ("", Rejection::Truncated),
        ("<a></a>", Rejection::Truncated),
        ("<!-- </svg>", Rejection::Truncated),
        ("<![CDATA[ </svg>", Rejection::Truncated),
        ("<a b='</svg>", Rejection::Truncated),
        ("<a></svg>", Rejection::Malformed),
        ("</svg></svg>", Rejection::Malformed),
        ("</svg><svg/>", Rejection::Malformed),
        ("</svg><p>html</p>", Rejection::Malformed),
        ("</svg>text", Rejection::Malformed),
        ("</svg>&amp;", Rejection::Malformed),
        ("</svg><![CDATA[ ]]>", Rejection::Malformed),
        ("<!DOCTYPE html></svg>", Rejection::Malformed),
        ("<?xml version='1.0'?></svg>", Rejection::Malformed),
        ("\0</svg>", Rejection::Malformed),
        ("\u{1B}</svg>", Rejection::Malformed),
        ("<!x></svg>", Rejection::Malformed),
    ] {
        assert_eq!(document(rest), Err(rejection), "{rest}");
    }
    assert_eq!(inspect(b"<svg>\xFF</svg>"), Err(Rejection::Malformed));
    assert_eq!(inspect(b"<!DOCTYPE svg SYSTEM 'a>b' \"c>'d\" [<!ENTITY e '>]'>]><svg/>"), Ok(Some((300, 150))));
}

#[test]
fn svg_nesting_is_limited() {
    let nested = |depth: usize| inspect((["<svg>".repeat(depth), "</svg>".repeat(depth)].concat()).as_bytes());
    assert_eq!(nested(5000), Ok(Some((300, 150))));
    assert_eq!(nested(5001), Err(Rejection::Malformed));
}

#[test]
fn svg_namespace_must_be_its_own() {
    assert_eq!(inspect(b"<svg/>"), Ok(Some((300, 150))));
    assert_eq!(inspect(b"<svg xmlns='http://www.w3.org/1999/xhtml'/>"), Err(Rejection::NotAnImage));
    assert_eq!(inspect(b"<s:svg/>"), Err(Rejection::Malformed));
    assert_eq!(inspect(b"<s:svg xmlns='http://www.w3.org/2000/svg'/>"), Err(Rejection::Malformed));
    assert_eq!(inspect(b"<s:svg xmlns:s='http://www.w3.org/2000/svg'/>"), Ok(Some((300, 150))));
    assert_eq!(inspect(b"<s:svg xmlns:s='urn:other'/>"), Err(Rejection::NotAnImage));
}

#[test]
fn svg_sizes_are_those_of_an_img_in_chromium() {
    for (attributes, expected) in [
        ("width='30' height='20'", Some((30, 20))),
        ("width='30.4' height='20.6'", Some((30, 21))),
        ("width='30.5' height='20.5'", Some((31, 21))),
        ("width='10mm' height='1in'", Some((38, 96))),
        ("width='2em' height='3ex'", None),
        ("width='30'", Some((30, 150))),
        ("width='30' viewBox='0 0 10 20'", Some((30, 60))),
        ("height='30' viewBox='0 0 10 20'", Some((15, 30))),
        ("viewBox='0 0 90 80'", Some((169, 150))),
        ("", Some((300, 150))),
        ("width='100%' height='50%'", Some((300, 150))),
        ("width='100%' height='50%' viewBox='0 0 90 80'", Some((169, 150))),
        ("width='100%' height='50' viewBox='0 0 90 80'", Some((56, 50))),
        ("width='30' height='50%' viewBox='0 0 90 80'", Some((30, 27))),
        ("width='0' height='20'", None),
        ("width='-3' height='20'", None),
        ("width='1e2' height='20'", Some((100, 20))),
        ("width='+30' height='20'", Some((30, 20))),
        ("width='12pt' height='3pc'", Some((16, 48))),
        ("width='1cm' height='40q'", Some((38, 38))),
        ("width='auto' height='auto' viewBox='0 0 90 80'", Some((169, 150))),
        ("width='auto' height='20'", Some((300, 20))),
        ("viewBox='0 0 0 0'", Some((300, 150))),
        ("viewBox='0 0 9.5 8.2'", Some((174, 150))),
        ("width='30PX' height='20Px'", Some((30, 20))),
        ("width='30 ' height=' 20'", Some((30, 20))),
        ("width='30 px' height='20'", Some((300, 20))),
        ("width='2rem' height='20'", Some((32, 20))),
        ("width='foo' height='20' viewBox='0 0 90 80'", Some((23, 20))),
        ("style='width:70px;height:60px'", Some((300, 150))),
        ("width='30' height='20' style='width:70px'", Some((30, 20))),
        ("width='.5' height='.4'", None),
        ("width='10vw' height='20'", None),
        ("width='calc(10px + 5px)' height='20'", None),
        ("viewBox='0 0 1 100'", Some((2, 150))),
        ("viewBox='0 0 1000 10'", Some((300, 3))),
        ("width='2ch' height='20'", None),
        ("width='4294967297' height='20'", None),
        ("width='30.' height='20'", Some((300, 20))),
        ("viewBox='0,0,30,20'", Some((225, 150))),
        ("viewBox='0 0 30 20 5'", Some((300, 150))),
        ("viewBox='0 0 30px 20px'", Some((300, 150))),
        ("width='0' height='0' viewBox='0 0 90 80'", None),
        ("width='0.2' height='0.7'", None),
        ("width='1.2' height='1.7'", Some((1, 2))),
    ] {
        let svg = format!("<svg {attributes}></svg>");
        assert_eq!(inspect(svg.as_bytes()), Ok(expected), "{attributes}");
        let in_passing = dimensions_in_passing(svg.as_bytes(), svg.len(), 16);
        assert_eq!(sides(in_passing), expected, "{attributes} in passing");
    }
}
