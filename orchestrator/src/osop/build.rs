//! From YAML events to a tree, with everything counted that is read or repeated.

use std::collections::HashMap;

use granit_parser::{Event, Marker, ScalarStyle, StructureStyle, Tag};

use super::cast::looks_secret;
use super::load::{MAX_DEPTH, MAX_TEXT_BYTES, MAX_VALUES};
use super::model::{MAX_EDGES, MAX_NODES};
use super::scalar;
use super::scan_error::report_depth;
use super::tree::{Data, Entry, Map, Value};
use crate::diagnostic::{Diagnostics, Origin, Span, Spanned, codes, quote};

/// Reported already; there is no tree.
pub(super) struct Stop;

enum Frame {
    List {
        items: Vec<Value>,
        open: Open,
    },
    Map {
        entries: Vec<Entry>,
        seen: HashMap<String, Span>,
        key: Key,
        merged: Vec<Value>,
        open: Open,
    },
}

/// A list or mapping that is being read.
struct Open {
    span: Span,
    flow: bool,
    anchor: usize,
    /// Values read when it was opened.
    values_before: usize,
}

/// What a mapping waits for.
enum Key {
    /// A key.
    None,
    /// The value of a key.
    Some(Spanned<String>),
    /// The value of a key that was refused; it is dropped.
    Refused,
    /// The mappings of `<<`.
    Merge,
}

pub(super) struct Builder<'d> {
    origin: Origin,
    pub(super) diagnostics: &'d mut Diagnostics,
    stack: Vec<Frame>,
    anchors: HashMap<usize, Anchored>,
    values: usize,
    text_bytes: usize,
    pub(super) root: Option<Value>,
    documents: usize,
}

struct Anchored {
    value: Value,
    values: usize,
    text_bytes: usize,
    depth: usize,
}

impl<'d> Builder<'d> {
    pub(super) fn new(origin: Origin, diagnostics: &'d mut Diagnostics) -> Self {
        Self {
            origin,
            diagnostics,
            stack: Vec::new(),
            anchors: HashMap::new(),
            values: 0,
            text_bytes: 0,
            root: None,
            documents: 0,
        }
    }

    pub(super) fn event(
        &mut self,
        event: Event<'_>,
        span: granit_parser::Span,
    ) -> Result<(), Stop> {
        let span = self.span(&span);
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    self.diagnostics
                        .error(codes::YAML_MULTIPLE_DOCUMENTS, span, "a second document starts here; a file holds one")
                        .help("put each workflow into a file of its own, and remove the `---` between them");
                    return Err(Stop);
                }
                Ok(())
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.count(span, 1, text.len())?;
                let data = self.scalar(&text, style, tag.as_deref(), span);
                let value = Value { data, span };
                self.remember(anchor, &value, 1, text.len())?;
                self.place(value)
            }
            Event::SequenceStart(style, anchor, tag) => {
                self.collection_tag(tag.as_deref(), span);
                let open = self.open(span, style, anchor)?;
                self.stack.push(Frame::List {
                    items: Vec::new(),
                    open,
                });
                Ok(())
            }
            Event::MappingStart(style, anchor, tag) => {
                self.collection_tag(tag.as_deref(), span);
                let open = self.open(span, style, anchor)?;
                self.stack.push(Frame::Map {
                    entries: Vec::new(),
                    seen: HashMap::new(),
                    key: Key::None,
                    merged: Vec::new(),
                    open,
                });
                Ok(())
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(span),
            Event::Alias(anchor) => self.alias(anchor, span),
            _ => Ok(()),
        }
    }

    fn span(&self, span: &granit_parser::Span) -> Span {
        let offset = |marker: &Marker| marker.byte_offset().unwrap_or_else(|| marker.index());
        let start = offset(&span.start);
        Span {
            origin: self.origin,
            start,
            end: offset(&span.end).max(start),
            line: crate::diagnostic::to_u32(span.start.line()),
            column: crate::diagnostic::to_u32(span.start.col()).saturating_add(1),
        }
    }

    fn count(&mut self, span: Span, values: usize, text_bytes: usize) -> Result<(), Stop> {
        self.values += values;
        self.text_bytes += text_bytes;
        if self.values <= MAX_VALUES && self.text_bytes <= MAX_TEXT_BYTES {
            return Ok(());
        }
        let message = if self.values > MAX_VALUES {
            format!(
                "the file holds more than {MAX_VALUES} values, counting what its aliases repeat"
            )
        } else {
            format!(
                "the file holds more than {} MiB of text, counting what its aliases repeat",
                MAX_TEXT_BYTES >> 20
            )
        };
        self.diagnostics
            .error(codes::YAML_TOO_MANY_VALUES, span, message)
            .label("the limit is reached here")
            .help("split the workflow (`workflow_ref`), or write less with anchors (`&`) and aliases (`*`)");
        Err(Stop)
    }

    fn open(&mut self, span: Span, style: StructureStyle, anchor: usize) -> Result<Open, Stop> {
        self.count(span, 1, 0)?;
        self.depth(span, self.stack.len() + 1)?;
        Ok(Open {
            span,
            flow: style == StructureStyle::Flow,
            anchor,
            values_before: self.values - 1,
        })
    }

    fn depth(&mut self, span: Span, depth: usize) -> Result<(), Stop> {
        if depth <= MAX_DEPTH {
            return Ok(());
        }
        report_depth(span, self.diagnostics);
        Err(Stop)
    }

    fn close(&mut self, end: Span) -> Result<(), Stop> {
        let Some(frame) = self.stack.pop() else {
            return Ok(());
        };
        let (data, open, last) = match frame {
            Frame::List { items, open } => {
                let last = items.last().map(|item| item.span.end);
                (Data::List(items), open, last)
            }
            Frame::Map {
                mut entries,
                open,
                merged,
                ..
            } => {
                let last = entries
                    .last()
                    .map(|entry| entry.value.span.end.max(entry.key.span.end));
                for map in merged {
                    merge(&mut entries, map);
                }
                (Data::Map(Map { entries }), open, last)
            }
        };
        // A block ends where the next token starts, lines later; what a reader sees as its end is that of its last value.
        let end = if open.flow {
            end.end
        } else {
            last.unwrap_or(open.span.end)
        };
        let value = Value {
            data,
            span: Span {
                end: end.max(open.span.start),
                ..open.span
            },
        };
        let values = self.values - open.values_before;
        let text = text_bytes(&value);
        self.remember(open.anchor, &value, values, text)?;
        self.place(value)
    }

    fn remember(
        &mut self,
        anchor: usize,
        value: &Value,
        values: usize,
        text_bytes: usize,
    ) -> Result<(), Stop> {
        if anchor == 0 {
            return Ok(());
        }
        self.count(value.span, values, text_bytes)?;
        self.anchors.insert(
            anchor,
            Anchored {
                value: value.clone(),
                values,
                text_bytes,
                depth: depth_of(value),
            },
        );
        Ok(())
    }

    fn alias(&mut self, anchor: usize, span: Span) -> Result<(), Stop> {
        let Some(anchored) = self.anchors.get(&anchor) else {
            self.diagnostics.error(
                codes::YAML_ALIAS,
                span,
                "this alias is part of what its anchor names: it would never end",
            );
            return Err(Stop);
        };
        let (values, text_bytes, depth) = (anchored.values, anchored.text_bytes, anchored.depth);
        self.count(span, values, text_bytes)?;
        self.depth(span, self.stack.len() + depth)?;
        let Some(anchored) = self.anchors.get(&anchor) else {
            return Err(Stop);
        };
        let value = anchored.value.clone();
        self.place(value)
    }

    /// Puts a finished value where it belongs: as a key, the value of a key, an item, or the document.
    fn place(&mut self, value: Value) -> Result<(), Stop> {
        match self.stack.last_mut() {
            None => self.root = Some(value),
            Some(Frame::List { items, .. }) => {
                items.push(value);
                let items = items.len();
                self.check_length(items)?;
            }
            Some(Frame::Map {
                entries,
                seen,
                key,
                merged,
                ..
            }) => match std::mem::replace(key, Key::None) {
                Key::None => *key = as_key(value, seen, self.diagnostics),
                Key::Some(key) => {
                    if value.as_text().is_some() && looks_secret(&key.value) {
                        self.diagnostics.redact(value.span);
                    }
                    entries.push(Entry { key, value });
                }
                Key::Refused => {}
                Key::Merge => match value.data {
                    Data::Map(_) => merged.push(value),
                    Data::List(items) if items.iter().all(|item| item.as_map().is_some()) => {
                        merged.extend(items);
                    }
                    _ => {
                        let message = format!(
                            "`<<` takes a mapping or a list of mappings, found {}",
                            value.kind()
                        );
                        self.diagnostics
                            .error(codes::WRONG_TYPE, value.span, message);
                    }
                },
            },
        }
        // What `<<` adds may be more than was counted.
        if let Some(Frame::Map { merged, .. }) = self.stack.last()
            && merged.len() > MAX_DEPTH
        {
            let span = merged[0].span;
            self.diagnostics.error(
                codes::YAML_TOO_MANY_VALUES,
                span,
                format!("`<<` takes at most {MAX_DEPTH} mappings"),
            );
            return Err(Stop);
        }
        Ok(())
    }

    /// A file of ten thousand nodes is refused at the first one too many, before all of it was read.
    fn check_length(&mut self, items: usize) -> Result<(), Stop> {
        if self.stack.len() != 2 || self.origin != Origin::Workflow {
            return Ok(());
        }
        let Some(Frame::Map {
            key: Key::Some(key),
            ..
        }) = self.stack.first()
        else {
            return Ok(());
        };
        let (code, most) = match key.value.as_str() {
            "nodes" => (codes::TOO_MANY_NODES, MAX_NODES),
            "edges" => (codes::TOO_MANY_EDGES, MAX_EDGES),
            _ => return Ok(()),
        };
        if items <= most {
            return Ok(());
        }
        self.diagnostics
            .error(
                code,
                key.span,
                format!("the workflow has more than {most} {}", key.value),
            )
            .help("split it into workflows of their own (`workflow_ref`)");
        Err(Stop)
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, tag: Option<&Tag>, span: Span) -> Data {
        let plain = style == ScalarStyle::Plain;
        match tag {
            None if plain => scalar::resolve(text),
            None => Data::Text(text.to_owned()),
            Some(tag) => match tag.core_suffix() {
                Some("str") => Data::Text(text.to_owned()),
                Some("int" | "float" | "bool" | "null") => scalar::resolve(text),
                _ if tag.original() == "!" => Data::Text(text.to_owned()),
                _ => {
                    self.unknown_tag(tag, span);
                    Data::Text(text.to_owned())
                }
            },
        }
    }

    fn collection_tag(&mut self, tag: Option<&Tag>, span: Span) {
        if let Some(tag) = tag
            && !matches!(tag.core_suffix(), Some("seq" | "map"))
            && tag.original() != "!"
        {
            self.unknown_tag(tag, span);
        }
    }

    fn unknown_tag(&mut self, tag: &Tag, span: Span) {
        self.diagnostics
            .error(
                codes::YAML_TAG,
                span,
                format!("the tag {} has no meaning here", quote(&tag.original())),
            )
            .help("remove the tag; a text that starts with `!` must be quoted");
    }
}

fn as_key(value: Value, seen: &mut HashMap<String, Span>, diagnostics: &mut Diagnostics) -> Key {
    let span = value.span;
    let name = match value.data {
        Data::Text(name) => name,
        Data::Number(number) => number.raw,
        Data::Bool(on) => on.to_string(),
        Data::Null | Data::List(_) | Data::Map(_) => {
            let found = value.kind();
            diagnostics
                .error(codes::YAML_KEY, span, format!("a key must be a text, found {found}"))
                .help("a value that starts with `{`, `[`, `?` or `*` must be quoted, for example \"{{name}}\"");
            return Key::Refused;
        }
    };
    if name == "<<" {
        return Key::Merge;
    }
    if let Some(first) = seen.get(&name) {
        diagnostics
            .error(
                codes::DUPLICATE_KEY,
                span,
                format!("the key {} is already in this mapping", quote(&name)),
            )
            .label("second time")
            .related(*first, "first time");
        return Key::Refused;
    }
    seen.insert(name.clone(), span);
    Key::Some(Spanned::new(name, span))
}

/// `<<`: keys that the mapping itself, or an earlier `<<`, does not have.
fn merge(entries: &mut Vec<Entry>, value: Value) {
    let Data::Map(map) = value.data else { return };
    let known: std::collections::HashSet<String> = entries
        .iter()
        .map(|entry| entry.key.value.clone())
        .collect();
    entries.extend(
        map.entries
            .into_iter()
            .filter(|entry| !known.contains(&entry.key.value)),
    );
}

fn text_bytes(value: &Value) -> usize {
    match &value.data {
        Data::Null | Data::Bool(_) => 0,
        Data::Number(number) => number.raw.len(),
        Data::Text(text) => text.len(),
        Data::List(items) => items.iter().map(text_bytes).sum(),
        Data::Map(map) => map
            .iter()
            .map(|(key, value)| key.value.len() + text_bytes(value))
            .sum(),
    }
}

fn depth_of(value: &Value) -> usize {
    match &value.data {
        Data::List(items) => 1 + items.iter().map(depth_of).max().unwrap_or(0),
        Data::Map(map) => {
            1 + map
                .iter()
                .map(|(_, value)| depth_of(value))
                .max()
                .unwrap_or(0)
        }
        _ => 0,
    }
}
