//! A JSON body on its way into a handler's request type. serde reads it; a refusal names the path of the value and the rule that it breaks.

use std::fmt;

use serde::de::value::BorrowedStrDeserializer;
use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, Expected, MapAccess, SeqAccess, Unexpected, Visitor};
use serde::forward_to_deserialize_any;
use serde_json::{Map, Value};

use super::Problem;

/// A JSON body. `null` means absent; of a field that is there twice, the last counts.
#[derive(Debug)]
pub struct JsonObject(Map<String, Value>);

impl JsonObject {
    /// The body with these fields.
    pub(super) const fn new(fields: Map<String, Value>) -> Self {
        Self(fields)
    }

    /// Whether a field is there and says something: neither `null` nor `false`.
    #[must_use]
    pub fn asks(&self, field: &str) -> bool {
        self.0.get(field).is_some_and(|value| !matches!(value, Value::Null | Value::Bool(false)))
    }

    /// The fields, each of which must be a string.
    ///
    /// # Errors
    /// 400 `invalid-field`.
    pub fn texts(self) -> Result<Vec<(String, String)>, Problem> {
        let fields = self.0.into_iter().filter(|(_, value)| !value.is_null());
        let text = |(name, value)| match value {
            Value::String(text) => Ok((name, text)),
            _ => Err(Problem::field(name, "must be a string")),
        };
        fields.map(text).collect()
    }

    /// The request that the body is. Fields are read in the order in which `T` declares them, so that the first one to break a rule is named.
    ///
    /// # Errors
    /// 400 `invalid-field`.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        T::deserialize(Fields(&self.0)).map_err(Problem::from)
    }
}

/// A value that breaks a rule.
#[derive(Debug)]
struct Refusal {
    /// The field of the body.
    field: String,
    /// Where in the body the value is, such as `imageIds[3]`.
    path: String,
    rule: String,
}

impl Refusal {
    fn new(field: &str, rule: String) -> Self {
        Self { field: field.to_owned(), path: field.to_owned(), rule }
    }

    fn in_field(self, field: &str) -> Self {
        Self { field: field.to_owned(), path: [field, &self.path].concat(), ..self }
    }

    fn in_item(self, index: usize) -> Self {
        Self { path: format!("[{index}]{}", self.path), ..self }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        Self { field: Some(refusal.field.into()), ..Self::field(refusal.path, refusal.rule) }
    }
}

impl serde::de::Error for Refusal {
    fn custom<T: fmt::Display>(rule: T) -> Self {
        Self::new("", rule.to_string())
    }

    fn invalid_type(_: Unexpected, expected: &dyn Expected) -> Self {
        Self::custom(format_args!("must be {expected}"))
    }

    fn invalid_value(_: Unexpected, expected: &dyn Expected) -> Self {
        Self::custom(format_args!("must be {expected}"))
    }

    fn invalid_length(_: usize, expected: &dyn Expected) -> Self {
        Self::custom(format_args!("must be {expected}"))
    }

    fn unknown_field(field: &str, known: &'static [&'static str]) -> Self {
        Self::new(field, format!("is not a field; the fields are {}", known.join(", ")))
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(field, "is required".to_owned())
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.path, self.rule)
    }
}

impl std::error::Error for Refusal {}

/// Reads a body's fields.
struct Fields<'de>(&'de Map<String, Value>);

impl<'de> Deserializer<'de> for Fields<'de> {
    type Error = Refusal;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        known: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        let declared =
            known.iter().filter_map(|field| Some((*field, self.0.get(*field)?))).filter(|(_, value)| !value.is_null());
        let others = self.0.iter().filter(|(field, _)| !known.contains(&field.as_str()));
        let fields = declared.chain(others.map(|(field, value)| (field.as_str(), value)));
        visitor.visit_map(FieldByField { fields, current: None })
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        self.deserialize_struct("", &[], visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct newtype_struct seq
        tuple tuple_struct map enum identifier ignored_any
    }
}

struct FieldByField<'de, Iter> {
    fields: Iter,
    current: Option<(&'de str, &'de Value)>,
}

impl<'de, Iter: Iterator<Item = (&'de str, &'de Value)>> MapAccess<'de> for FieldByField<'de, Iter> {
    type Error = Refusal;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Refusal> {
        self.current = self.fields.next();
        self.current.map(|(field, _)| seed.deserialize(BorrowedStrDeserializer::new(field))).transpose()
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Refusal> {
        let (field, value) = self.current.take().unwrap_or(("", &Value::Null));
        seed.deserialize(Reader(value)).map_err(|refusal| refusal.in_field(field))
    }
}

/// Reads the value of a field.
struct Reader<'de>(&'de Value);

impl<'de> Deserializer<'de> for Reader<'de> {
    type Error = Refusal;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        match self.0 {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Number(number) => match number.as_u64() {
                Some(number) => visitor.visit_u64(number),
                None => visitor.visit_f64(number.as_f64().unwrap_or(f64::NAN)),
            },
            Value::String(text) => visitor.visit_borrowed_str(text),
            Value::Array(items) => visitor.visit_seq(ItemByItem { items: items.iter().enumerate() }),
            // No field holds an object; a visitor says what it expects instead.
            Value::Object(_) => Err(serde::de::Error::invalid_type(Unexpected::Map, &visitor)),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        if self.0.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct newtype_struct seq
        tuple tuple_struct map struct enum identifier
    }
}

struct ItemByItem<'de> {
    items: std::iter::Enumerate<std::slice::Iter<'de, Value>>,
}

impl<'de> SeqAccess<'de> for ItemByItem<'de> {
    type Error = Refusal;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Refusal> {
        let Some((index, item)) = self.items.next() else { return Ok(None) };
        seed.deserialize(Reader(item)).map(Some).map_err(|refusal| refusal.in_item(index))
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Open {
        zone: String,
        area_name: Option<String>,
        #[serde(rename = "list")]
        items: Option<Vec<String>>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Closed {
        zone: Option<String>,
        area: Option<String>,
    }

    fn object(value: Value) -> JsonObject {
        match value {
            Value::Object(fields) => JsonObject::new(fields),
            _ => panic!("no object: {value}"),
        }
    }

    /// The field and the words of the refusal.
    fn refusal<T: DeserializeOwned + fmt::Debug>(body: Value) -> (String, String) {
        let problem = object(body).read::<T>().unwrap_err();
        (problem.field.unwrap().into(), problem.detail)
    }

    fn named(field: &str, detail: &str) -> (String, String) {
        (field.to_owned(), detail.to_owned())
    }

    #[test]
    fn fields_are_read_and_null_is_absent_and_others_are_ignored() {
        let body = json!({"zone": "a", "areaName": null, "list": ["b"], "other": {"deep": [1]}});
        let open: Open = object(body).read().unwrap();
        assert_eq!((open.zone.as_str(), open.area_name, open.items), ("a", None, Some(vec!["b".to_owned()])));
    }

    #[test]
    fn a_refusal_names_the_field_and_the_path_and_the_rule() {
        assert_eq!(refusal::<Open>(json!({})), named("zone", "zone is required"));
        assert_eq!(refusal::<Open>(json!({"zone": null})), named("zone", "zone is required"));
        for wrong in [json!(1), json!(-1), json!(1.5), json!(true), json!([]), json!({})] {
            assert_eq!(refusal::<Open>(json!({"zone": wrong})), named("zone", "zone must be a string"));
        }
        let body = json!({"zone": "a", "list": ["b", "c", 7]});
        assert_eq!(refusal::<Open>(body), named("list", "list[2] must be a string"));
    }

    #[test]
    fn the_field_that_is_declared_first_is_named() {
        assert_eq!(refusal::<Open>(json!({"areaName": 1, "zone": 1})).0, "zone");
        assert_eq!(refusal::<Closed>(json!({"area": 1, "zone": 1})).0, "zone");
    }

    #[test]
    fn a_closed_type_refuses_other_fields_even_when_they_are_null() {
        let rule = "is not a field; the fields are zone, area";
        assert_eq!(refusal::<Closed>(json!({"zoen": null})), named("zoen", &["zoen ", rule].concat()));
        assert_eq!(refusal::<Closed>(json!({"": 1})), named("", &["the empty name ", rule].concat()));
        let closed: Closed = object(json!({"zone": null, "area": "b"})).read().unwrap();
        assert_eq!((closed.zone, closed.area.as_deref()), (None, Some("b")));
    }

    #[test]
    fn what_is_null_or_false_asks_for_nothing() {
        let body = object(json!({"a": null, "b": false, "c": true, "d": 0}));
        assert_eq!(["a", "b", "c", "d", "e"].map(|field| body.asks(field)), [false, false, true, true, false]);
    }
}
