/// One key of a mapping: how it is read into its owner, shown from it, and described.
package struct Field<Root> {
  package let key: String
  package let doc: String
  package let isRequired: Bool
  /// What to write, for the annotated example and for "this is missing".
  package let sample: String?
  /// With the defaults of an owner where they are known.
  package let json: (Root?) -> JSON
  package let childKeys: [String]
  /// The same key in several files adds up; any other may be set in one of them only.
  package var accumulates = false
  package let read: (Node, inout Root, inout Reader) -> Void
  /// Nil when there is nothing to show.
  package let show: (Root) -> Tree?

  package init(
    key: String, doc: String, isRequired: Bool, sample: String?, json: @escaping (Root?) -> JSON,
    childKeys: [String], accumulates: Bool = false,
    read: @escaping (Node, inout Root, inout Reader) -> Void, show: @escaping (Root) -> Tree?
  ) {
    self.key = key
    self.doc = doc
    self.isRequired = isRequired
    self.sample = sample
    self.json = json
    self.childKeys = childKeys
    self.accumulates = accumulates
    self.read = read
    self.show = show
  }

  package static func value<Value>(
    _ key: String, _ path: WritableKeyPath<Root, Value>, _ kind: Kind<Value>,
    required: Bool = false, sample: String? = nil, _ doc: String
  ) -> Field {
    Field(
      key: key, doc: doc, isRequired: required, sample: sample, json: { _ in kind.json },
      childKeys: kind.childKeys,
      read: { node, root, reader in
        guard let value = kind.read(node, &reader) else { return }
        root[keyPath: path] = value
        reader.markGood(node.place)
      },
      show: { kind.show($0[keyPath: path]) })
  }

  /// A key that may be left out, and then means nothing at all.
  package static func optional<Value>(
    _ key: String, _ path: WritableKeyPath<Root, Value?>, _ kind: Kind<Value>,
    sample: String? = nil, _ doc: String
  ) -> Field {
    Field(
      key: key, doc: doc, isRequired: false, sample: sample, json: { _ in kind.json },
      childKeys: kind.childKeys,
      read: { node, root, reader in
        guard let value = kind.read(node, &reader) else { return }
        root[keyPath: path] = value
        reader.markGood(node.place)
      },
      show: { $0[keyPath: path].map(kind.show) })
  }

  /// A list of plain values.
  package static func values<Value>(
    _ key: String, _ path: WritableKeyPath<Root, [Value]>, _ kind: Kind<Value>,
    whenEmpty: String?, sample: String? = nil, _ doc: String
  ) -> Field {
    var members: [(key: String, value: JSON)] = [("type", .text("array")), ("items", kind.json)]
    if whenEmpty == nil { members.append(("minItems", .integer(1))) }
    return Field(
      key: key, doc: doc, isRequired: false, sample: sample, json: { _ in .object(members) },
      childKeys: [],
      read: { node, root, reader in
        guard case .list(let items) = node.content else {
          reader.complain(
            node.place,
            "'\(key)' must be a list, not \(node.noun); write \(key): [\(sampleItem(node, sample))]"
          )
          return
        }
        if items.isEmpty, whenEmpty == nil {
          reader.complain(node.place, "'\(key)' is empty; name at least one, or remove the line")
        }
        root[keyPath: path] = items.compactMap { kind.read($0, &reader) }
        reader.markGood(node.place)
      },
      show: { root in
        let values = root[keyPath: path]
        return values.isEmpty && whenEmpty == nil ? nil : .list(values.map(kind.show), noun: nil)
      })
  }

  private static func sampleItem(_ node: Node, _ sample: String?) -> String {
    if case .scalar(let text, _) = node.content, !node.isNull { return shown(text) }
    return sample.map { String($0.dropFirst().dropLast()) } ?? "..."
  }

  /// A list of mappings. Items of several files follow one another.
  package static func list<Item>(
    _ key: String, _ path: WritableKeyPath<Root, [Item]>, _ section: Section<Item>,
    required: Bool = false, sample: String, _ doc: String
  ) -> Field {
    let kind = section.kind
    return Field(
      key: key, doc: doc, isRequired: required, sample: sample,
      json: { _ in
        .object([("type", .text("array")), ("minItems", .integer(1)), ("items", kind.json)])
      },
      childKeys: section.keys.fields.map(\.key), accumulates: true,
      read: { node, root, reader in
        guard case .list(let items) = node.content else {
          reader.complain(
            node.place,
            "'\(key)' must be a list, not \(node.noun); begin each \(section.noun) with '- '")
          return
        }
        if items.isEmpty {
          reader.complain(node.place, "'\(key)' is empty; it needs at least one \(section.noun)")
        }
        reader.markGood(node.place)
        for item in items {
          let index = root[keyPath: path].count
          let value = reader.retitled("\(key)[\(index)]") { reader in
            let before = reader.complaints.count
            let value = kind.read(item, &reader)
            if reader.complaints.count == before { reader.markGood(item.place) }
            return value
          }
          root[keyPath: path].append(value ?? section.make())
        }
      },
      show: { root in
        let items = root[keyPath: path]
        return items.isEmpty ? nil : .list(items.map(kind.show), noun: section.noun)
      })
  }

  /// Keys that are written together but kept in the owner itself.
  package static func group(
    _ key: String, _ fields: [Field<Root>], rules: [Rule] = [], _ doc: String
  ) -> Field {
    let keys = Keys(noun: "'\(key)'", fields: fields, rules: rules)
    return Field(
      key: key, doc: doc, isRequired: false, sample: nil,
      json: keys.json(defaults:),
      childKeys: fields.map(\.key),
      read: { node, root, reader in
        keys.read(node, into: &root, &reader)
        reader.markGood(node.place)
      },
      show: { root in
        let entries = keys.entries(root)
        return entries.isEmpty ? nil : .map(entries)
      })
  }
}

/// What must hold among the keys of one mapping.
package enum Rule {
  /// With what to write when there is none.
  case exactlyOne([String], advice: String)
  case atMostOne([String])

  package var json: (key: String, value: JSON) {
    switch self {
    case .exactlyOne(let keys, _):
      ("oneOf", .list(keys.map { .object([("required", .list([.text($0)]))]) }))
    case .atMostOne(let keys):
      ("not", .object([("required", .list(keys.map { .text($0) }))]))
    }
  }
}

/// The keys of a mapping with everything that is checked about them.
package struct Keys<Root> {
  package let noun: String
  package let fields: [Field<Root>]
  package var rules: [Rule] = []
  /// Keys of this form are read by nobody: a home for anchors.
  package var ignoredPrefix: String?

  package init(
    noun: String, fields: [Field<Root>], rules: [Rule] = [], ignoredPrefix: String? = nil
  ) {
    self.noun = noun
    self.fields = fields
    self.rules = rules
    self.ignoredPrefix = ignoredPrefix
  }

  package func read(_ node: Node, into root: inout Root, _ reader: inout Reader) {
    guard case .map(let entries) = node.content else {
      let first = fields.first?.key ?? ""
      reader.complain(
        node.place,
        "'\(reader.key)' must be a mapping with keys such as '\(first)', not \(node.noun)")
      return
    }
    let meant = read(entries, into: &root, &reader)
    checkPresence(entries, meant, at: node.place, &reader)
  }

  /// Returns the keys that were misspelt: they are not missing as well.
  @discardableResult
  package func read(_ entries: [Node.Entry], into root: inout Root, _ reader: inout Reader) -> Set<
    String
  > {
    var meant: Set<String> = []
    for entry in entries {
      if let ignoredPrefix, entry.key.hasPrefix(ignoredPrefix) { continue }
      guard let field = fields.first(where: { $0.key == entry.key }) else {
        reader.complain(entry.keyPlace, unknown(entry.key))
        if let near = nearest(to: entry.key, among: fields.map(\.key)) { meant.insert(near) }
        continue
      }
      reader.inside(entry.key) { field.read(entry.value, &root, &$0) }
    }
    return meant
  }

  private func unknown(_ key: String) -> String {
    let start = "unknown key '\(shown(key))'"
    if let owner = fields.first(where: { $0.childKeys.contains(key) }) {
      return "\(start) here; it belongs inside '\(owner.key)'"
    }
    let keys = fields.map(\.key)
    if let near = nearest(to: key, among: keys) { return "\(start); did you mean '\(near)'?" }
    for owner in fields {
      if let near = nearest(to: key, among: owner.childKeys) {
        return "\(start); did you mean '\(near)' inside '\(owner.key)'?"
      }
    }
    return "\(start); \(noun) takes \(enumerated(keys))"
  }

  private func checkPresence(
    _ entries: [Node.Entry], _ meant: Set<String>, at place: Place, _ reader: inout Reader
  ) {
    func entry(_ key: String) -> Node.Entry? { entries.first { $0.key == key } }
    for field in fields where field.isRequired && entry(field.key) == nil {
      if meant.contains(field.key) { continue }
      reader.complain(
        place,
        "\(noun) without '\(field.key)'"
          + (field.sample.map { "; write '\(field.key): \($0)'" } ?? ""))
    }
    for rule in rules {
      switch rule {
      case .exactlyOne(let keys, let advice):
        let present = keys.compactMap(entry)
        if present.isEmpty, meant.isDisjoint(with: keys) {
          reader.complain(place, "\(noun) without \(quoted(keys, "or")); \(advice)")
        }
        complainOfMany(present, &reader)
      case .atMostOne(let keys):
        complainOfMany(keys.compactMap(entry), &reader)
      }
    }
  }

  private func complainOfMany(_ present: [Node.Entry], _ reader: inout Reader) {
    guard present.count > 1 else { return }
    reader.complain(
      present[1].keyPlace,
      "\(noun) with both \(quoted(present.map(\.key), "and")); keep one of them")
  }

  private func quoted(_ keys: [String], _ last: String) -> String {
    enumerated(keys.map { "'\($0)'" }, last)
  }

  package func entries(_ root: Root, defaults: Root? = nil) -> [Tree.Entry] {
    fields.compactMap { field in
      guard let value = field.show(root) else { return nil }
      let isDefault = defaults.map { field.show($0) == value } ?? false
      let note = Tree.Note(doc: field.doc, sample: field.sample, isDefault: isDefault)
      return Tree.Entry(field.key, value, note)
    }
  }

  /// With the default of each key, as an owner with all of them shows it.
  package func json(defaults: Root?) -> JSON {
    var members: [(key: String, value: JSON)] = [
      ("type", .text("object")), ("additionalProperties", .bool(false)),
    ]
    if let ignoredPrefix {
      members.append(("patternProperties", .object([("^\(ignoredPrefix)", .object([]))])))
    }
    members.append(
      (
        "properties",
        .object(
          fields.map { field in
            (field.key, described(field, defaults))
          })
      ))
    let required = fields.filter(\.isRequired).map(\.key)
    if !required.isEmpty { members.append(("required", .list(required.map { .text($0) }))) }
    return .object(members + rules.map(\.json))
  }

  private func described(_ field: Field<Root>, _ defaults: Root?) -> JSON {
    let json = field.json(defaults)
    guard case .object(let members) = json else { return json }
    var head: [(key: String, value: JSON)] = [("description", .text(field.doc))]
    if let defaults, !field.isRequired, let value = field.show(defaults)?.json {
      head.append(("default", value))
    }
    return .object(head + members)
  }
}

/// A mapping that becomes a value of its own.
package struct Section<Root> {
  /// One of them, in complaints: `backend`.
  package let noun: String
  package let make: () -> Root
  package let keys: Keys<Root>
  /// A scalar that stands for the whole mapping: `- 127.0.0.1:9001`, `balance: random`.
  package let shorthand: Kind<Root>?
  /// What is checked or filled in when all keys are read.
  package let finish: (Node, inout Root, inout Reader) -> Void

  package init(
    _ noun: String, make: @escaping () -> Root, rules: [Rule] = [], shorthand: Kind<Root>? = nil,
    finish: @escaping (Node, inout Root, inout Reader) -> Void = { _, _, _ in },
    fields: [Field<Root>]
  ) {
    self.noun = noun
    self.make = make
    keys = Keys(
      noun: ("aeioA".contains(noun.first ?? " ") ? "an " : "a ") + noun, fields: fields,
      rules: rules
    )
    self.shorthand = shorthand
    self.finish = finish
  }

  package var kind: Kind<Root> {
    let object = keys.json(defaults: make())
    return Kind(
      wanted: "a mapping with keys such as '\(keys.fields.first?.key ?? "")'",
      json: shorthand.map { .object([("anyOf", .list([object, $0.json]))]) } ?? object,
      read: { node, reader in
        if let shorthand, case .scalar = node.content {
          guard var root = shorthand.read(node, &reader) else { return nil }
          finish(node, &root, &reader)
          return root
        }
        var root = make()
        keys.read(node, into: &root, &reader)
        finish(node, &root, &reader)
        return root
      },
      show: { .map(keys.entries($0, defaults: make())) },
      childKeys: keys.fields.map(\.key))
  }
}
