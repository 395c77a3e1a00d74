import CYAML

/// Builds the tree of one file from libyaml's events: anchors, aliases, merge keys, duplicate keys,
/// and the limits that keep a hostile or broken file small.
package struct Composer {
  /// Nesting. The deepest of our own keys stands at 6.
  package static let depthLimit = 32
  /// Values of all files together, with aliases written out. Ten thousand backends with every key
  /// need a tenth of it; an alias bomb needs more within nine lines.
  package static let nodeLimit = 1_000_000

  /// Why a file could not be read to its end.
  private enum Stop: Error {
    case complained
  }

  private let source: SourceText
  private let parser: UnsafeMutablePointer<yaml_parser_t>
  private var anchors: [String: Node] = [:]
  /// Anchors whose value is still being read: an alias to one would contain itself.
  private var openAnchors: Set<String> = []
  private var complaints: ComplaintList
  private var nodesLeft: Int

  /// The document's root, or nil when the file holds nothing; `isComplete` is false when reading
  /// stopped at an error of syntax.
  package struct Result {
    package let root: Node?
    package let isComplete: Bool
  }

  package static func compose(
    _ source: SourceText, complaints: inout ComplaintList, nodesLeft: inout Int
  ) -> Result {
    let parser = UnsafeMutablePointer<yaml_parser_t>.allocate(capacity: 1)
    defer { parser.deallocate() }
    guard yaml_parser_initialize(parser) == 1 else {
      preconditionFailure("libyaml could not allocate its parser")
    }
    defer { yaml_parser_delete(parser) }
    return source.bytes.withUnsafeBufferPointer { bytes in
      // Where its encoding is set, libyaml counts a byte order mark as a column.
      let skipped = source.bytes.starts(with: [0xef, 0xbb, 0xbf]) ? 3 : 0
      yaml_parser_set_input_string(
        parser, bytes.baseAddress.map { $0 + skipped }, bytes.count - skipped)
      yaml_parser_set_encoding(parser, YAML_UTF8_ENCODING)
      var composer = Composer(
        source: source, parser: parser, complaints: complaints, nodesLeft: nodesLeft)
      let result = composer.stream()
      complaints = composer.complaints
      nodesLeft = composer.nodesLeft
      return result
    }
  }

  private init(
    source: SourceText, parser: UnsafeMutablePointer<yaml_parser_t>, complaints: ComplaintList,
    nodesLeft: Int
  ) {
    self.source = source
    self.parser = parser
    self.complaints = complaints
    self.nodesLeft = nodesLeft
  }

  private mutating func stream() -> Result {
    var root: Node?
    do throws(Stop) {
      while true {
        let event = try next()
        switch event.kind {
        case .end: return Result(root: root, isComplete: true)
        case .documentStart where root != nil:
          complain(event.place, "a second document; keep one, and use 'include' for more files")
          throw .complained
        case .structure, .documentStart: continue
        case .alias, .scalar, .listStart, .mapStart: root = try node(event, depth: 1)
        case .close: preconditionFailure("libyaml closed what it had not opened")
        }
      }
    } catch {
      return Result(root: root, isComplete: false)
    }
  }

  // MARK: Nodes

  private mutating func node(_ event: Event, depth: Int) throws(Stop) -> Node {
    guard depth <= Self.depthLimit else {
      complain(event.place, "nested deeper than \(Self.depthLimit) levels")
      throw .complained
    }
    if let tag = event.tag {
      let standard = "tag:yaml.org,2002:"
      let written = tag.hasPrefix(standard) ? "!!" + tag.dropFirst(standard.count) : tag
      complain(event.place, "the tag '\(shown(written))' is not used here; remove it")
    }
    if let anchor = event.anchor, event.kind != .alias { openAnchors.insert(anchor) }
    let node: Node
    switch event.kind {
    case .alias: return try alias(event)
    case .scalar:
      node = Node(
        content: .scalar(event.text, isPlain: event.isPlain), place: event.place,
        isOneLine: event.isOneLine, weight: 1)
    case .listStart:
      node = try list(event, depth: depth)
    case .mapStart:
      node = try map(event, depth: depth)
    case .documentStart, .structure, .close, .end:
      preconditionFailure("libyaml began a value with \(event.kind)")
    }
    try spend(1, at: event.place)
    if let anchor = event.anchor {
      openAnchors.remove(anchor)
      anchors[anchor] = node
    }
    return node
  }

  private mutating func alias(_ event: Event) throws(Stop) -> Node {
    let name = event.anchor ?? ""
    if openAnchors.contains(name) {
      complain(event.place, "'*\(shown(name))' contains itself")
      throw .complained
    }
    guard let node = anchors[name] else {
      let near = nearest(to: name, among: anchors.keys.sorted())
      complain(
        event.place,
        "unknown anchor '*\(shown(name))'; "
          + (near.map { "did you mean '*\($0)'?" } ?? "define it above as '&\(shown(name))'"))
      throw .complained
    }
    try spend(node.weight, at: event.place)
    return node
  }

  private mutating func spend(_ count: Int, at place: Place) throws(Stop) {
    nodesLeft -= count
    if nodesLeft < 0 {
      complain(
        place, "more than \(Self.nodeLimit) values with all aliases written out; use fewer")
      throw .complained
    }
  }

  private mutating func list(_ start: Event, depth: Int) throws(Stop) -> Node {
    var items: [Node] = []
    var weight = 1
    while true {
      let event = try next()
      if event.kind == .close { break }
      let item = try node(event, depth: depth + 1)
      weight += item.weight
      items.append(item)
    }
    return Node(content: .list(items), place: start.place, isOneLine: false, weight: weight)
  }

  private mutating func map(_ start: Event, depth: Int) throws(Stop) -> Node {
    var entries: [Node.Entry] = []
    var places: [String: Place] = [:]
    var merged: [Node] = []
    var weight = 1
    while true {
      let key = try next()
      if key.kind == .close { break }
      guard key.kind == .scalar else {
        complain(key.place, "a key must be a word, not \(key.kind.noun)")
        _ = try node(key, depth: depth + 1)
        _ = try node(try next(), depth: depth + 1)
        continue
      }
      let isMerge = key.text == "<<" && key.isPlain
      let value = try node(try next(), depth: depth + 1)
      if let first = places[key.text] {
        complain(
          key.place,
          "duplicate key '\(shown(key.text))'; it is already set \(first.named(from: key.place))"
            + (isMerge ? ", merge both with '<<: [*a, *b]'" : ""))
        continue
      }
      places[key.text] = key.place
      if isMerge {
        merged = sources(of: value)
      } else {
        entries.append(Node.Entry(key: key.text, keyPlace: key.place, value: value))
        weight += value.weight
      }
    }
    for source in merged {
      guard case .map(let more) = source.content else { continue }
      for entry in more where places[entry.key] == nil {
        places[entry.key] = entry.keyPlace
        entries.append(entry)
        weight += entry.value.weight
      }
    }
    return Node(content: .map(entries), place: start.place, isOneLine: false, weight: weight)
  }

  /// The mappings that a `<<` names, the first of which wins.
  private mutating func sources(of value: Node) -> [Node] {
    let all: [Node]
    if case .list(let items) = value.content { all = items } else { all = [value] }
    return all.filter { node in
      if case .map = node.content { return true }
      complain(
        node.place, "'<<' merges mappings, not \(node.noun); write '<<: *NAME' with NAME a mapping")
      return false
    }
  }

  private mutating func complain(_ place: Place, _ message: String) {
    complaints.add(Complaint(place, message))
  }

  // MARK: Events

  /// A libyaml event with what we need of it copied out.
  private struct Event {
    package enum Kind {
      case documentStart
      case scalar
      case alias
      case listStart
      case mapStart
      /// The end of a list or a mapping.
      case close
      /// Begin of the stream and ends of documents.
      case structure
      case end

      package var noun: String {
        switch self {
        case .listStart: "a list"
        case .mapStart: "a mapping"
        case .alias: "an alias"
        case .scalar, .close, .structure, .documentStart, .end: "nothing"
        }
      }
    }

    package let kind: Kind
    package let place: Place
    package var text = ""
    package var isPlain = false
    package var isOneLine = false
    package var anchor: String?
    package var tag: String?
  }

  private mutating func next() throws(Stop) -> Event {
    var raw = yaml_event_t()
    guard yaml_parser_parse(parser, &raw) == 1 else {
      complaints.add(YAMLProblem(parser.pointee, in: source).complaint)
      throw .complained
    }
    defer { yaml_event_delete(&raw) }
    let mark = raw.start_mark
    let place = Place(file: source.file, line: Int(mark.line) + 1, column: Int(mark.column) + 1)
    switch raw.type {
    case YAML_DOCUMENT_START_EVENT: return Event(kind: .documentStart, place: place)
    case YAML_STREAM_END_EVENT: return Event(kind: .end, place: place)
    case YAML_SEQUENCE_END_EVENT, YAML_MAPPING_END_EVENT: return Event(kind: .close, place: place)
    case YAML_ALIAS_EVENT:
      return Event(kind: .alias, place: place, anchor: text(raw.data.alias.anchor))
    case YAML_SCALAR_EVENT:
      let scalar = raw.data.scalar
      let bytes = UnsafeBufferPointer(start: scalar.value, count: scalar.length)
      return Event(
        kind: .scalar, place: place, text: String(decoding: bytes, as: UTF8.self),
        isPlain: scalar.style == YAML_PLAIN_SCALAR_STYLE,
        isOneLine: raw.start_mark.line == raw.end_mark.line, anchor: text(scalar.anchor),
        tag: text(scalar.tag))
    case YAML_SEQUENCE_START_EVENT:
      let start = raw.data.sequence_start
      return Event(
        kind: .listStart, place: place, anchor: text(start.anchor), tag: text(start.tag))
    case YAML_MAPPING_START_EVENT:
      let start = raw.data.mapping_start
      return Event(kind: .mapStart, place: place, anchor: text(start.anchor), tag: text(start.tag))
    default: return Event(kind: .structure, place: place)
    }
  }

  private func text(_ bytes: UnsafeMutablePointer<yaml_char_t>?) -> String? {
    bytes.map { String(cString: $0) }
  }
}
