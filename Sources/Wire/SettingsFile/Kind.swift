/// How values of one type are read, shown and described: the atom of the schema.
package struct Kind<Value> {
  /// What is expected, as complaints say it: `a duration such as 10s`.
  package let wanted: String
  package let json: JSON
  /// Nil after a complaint.
  package let read: (Node, inout Reader) -> Value?
  package let show: (Value) -> Tree
  /// Keys that a mapping of this kind takes: where a key that stands one level too high belongs.
  package var childKeys: [String] = []

  package init(
    wanted: String, json: JSON, read: @escaping (Node, inout Reader) -> Value?,
    show: @escaping (Value) -> Tree, childKeys: [String] = []
  ) {
    self.wanted = wanted
    self.json = json
    self.read = read
    self.show = show
    self.childKeys = childKeys
  }

  /// A kind that is written as one scalar. `parse` says what is wrong, in a sentence that begins
  /// behind the quoted key: `must be true or false, not 'yes'`.
  package static func scalar(
    _ wanted: String, json: [(key: String, value: JSON)],
    show: @escaping (Value) -> Tree, parse: @escaping (String) -> Parsed<Value>
  ) -> Kind {
    Kind(
      wanted: wanted, json: .object(json),
      read: { node, reader in
        guard let text = reader.scalar(node, wanted: wanted) else { return nil }
        switch parse(text) {
        case .value(let value): return value
        case .problem(let problem):
          reader.complain(node.place, "'\(reader.key)' \(problem)")
          return nil
        case .unlike:
          reader.complain(
            node.place, "'\(reader.key)' must be \(wanted), not '\(shown(text))'")
          return nil
        }
      },
      show: show)
  }

  /// This kind, or a word that stands for one value: `off`.
  package func or(_ word: String, _ value: Value, when isIt: @escaping (Value) -> Bool) -> Kind {
    map(word, from: { $0 }, special: value, show: { isIt($0) ? .word(word) : show($0) })
  }

  /// This kind, or a word for nil.
  package func orNil(_ word: String) -> Kind<Value?> {
    map(word, from: { .some($0) }, special: .some(nil), show: { $0.map(show) ?? .word(word) })
  }

  private func map<Other>(
    _ word: String, from: @escaping (Value) -> Other, special: Other?,
    show: @escaping (Other) -> Tree
  ) -> Kind<Other> {
    Kind<Other>(
      wanted: "\(wanted), or \(word)",
      json: .object([("anyOf", .list([.object([("const", .text(word))]), json]))]),
      read: { node, reader in
        if case .scalar(let text, _) = node.content {
          if text == word { return special }
          if word == "off", Self.wordsForOff.contains(text.lowercased()) {
            reader.complain(
              node.place, "'\(reader.key)' cannot be '\(shown(text))'; write \(word)")
            return nil
          }
        }
        return read(node, &reader).map(from)
      },
      show: show, childKeys: childKeys)
  }

  /// What people write for `off` elsewhere.
  private static var wordsForOff: [String] {
    ["no", "false", "none", "never", "disabled", "unlimited", "infinite", "infinity", "-1"]
  }
}

/// What became of a text.
package enum Parsed<Value> {
  case value(Value)
  /// What is wrong and what to write, behind the quoted key.
  case problem(String)
  /// Not of this kind at all.
  case unlike
}

extension Kind where Value == Int {
  /// Digits only: no sign, no underscore, no hexadecimal, which YAML readers disagree about.
  package static func integer(_ range: ClosedRange<Int>, _ noun: String = "a whole number") -> Kind
  {
    let wanted = "\(noun) from \(range.lowerBound) to \(range.upperBound)"
    return .scalar(
      wanted,
      json: scalarJSON([
        ("type", .text("integer")), ("minimum", .integer(range.lowerBound)),
        ("maximum", .integer(range.upperBound)),
      ]),
      show: { .word(String($0)) },
      parse: { text in
        guard text.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let value = Int(text),
          range.contains(value)
        else { return .unlike }
        return .value(value)
      })
  }

  /// Bytes, with a unit.
  package static func size(_ range: ClosedRange<Int>) -> Kind {
    .scalar(
      "a size such as 64KiB",
      json: scalarJSON([
        ("type", .text("string")), ("pattern", .text("^[0-9]+(\\.[0-9]+)?[KMGT]?i?B$")),
      ]),
      show: { .word(sizeText($0)) },
      parse: { parseSize($0, range) })
  }
}

extension Kind where Value == Double {
  /// A share, `0.5` or `50%`.
  package static func ratio(_ range: ClosedRange<Double> = 0...1) -> Kind {
    .scalar(
      "a share such as 0.5 or 50%",
      json: [
        (
          "anyOf",
          .list([
            .object([
              ("type", .text("number")), ("minimum", .number(decimalText(range.lowerBound))),
              ("maximum", .number(decimalText(range.upperBound))),
            ]),
            .object([("type", .text("string")), ("pattern", .text("^[0-9]+(\\.[0-9]+)?%$"))]),
            environmentJSON,
          ])
        )
      ],
      show: { .word(decimalText($0)) },
      parse: { parseRatio($0, range) })
  }

  package static func decimal(_ range: ClosedRange<Double>) -> Kind {
    let wanted =
      "a number from \(decimalText(range.lowerBound)) to \(decimalText(range.upperBound))"
    return .scalar(
      wanted,
      json: scalarJSON([
        ("type", .text("number")), ("minimum", .number(decimalText(range.lowerBound))),
        ("maximum", .number(decimalText(range.upperBound))),
      ]),
      show: { .word(decimalText($0)) },
      parse: { text in
        guard let measure = Measure(text), measure.unit.isEmpty, range.contains(measure.value)
        else { return .unlike }
        return .value(measure.value)
      })
  }
}

extension Kind where Value == Bool {
  package static var flag: Kind {
    .scalar(
      "true or false", json: scalarJSON([("type", .text("boolean"))]),
      show: { .word($0 ? "true" : "false") },
      parse: { text in
        switch text {
        case "true": return .value(true)
        case "false": return .value(false)
        default:
          // YAML 1.1 would read these as flags; a newer reader would not. Better to ask.
          let meant = ["yes", "on", "1", "y"].contains(text.lowercased()) || text == "True"
          let unmeant = ["no", "off", "0", "n"].contains(text.lowercased()) || text == "False"
          guard meant || unmeant else { return .unlike }
          return .problem("must be true or false, not '\(text)'; write \(meant ? "true" : "false")")
        }
      })
  }
}

extension Kind where Value: RawRepresentable & CaseIterable, Value.RawValue == String {
  package static func choice(_ noun: String) -> Kind {
    let words = Value.allCases.map(\.rawValue)
    return .scalar(
      "\(noun): \(enumerated(words, "or"))",
      json: scalarJSON([("enum", .list(words.map { .text($0) }))]),
      show: { .word($0.rawValue) },
      parse: { text in
        if let value = Value(rawValue: text) { return .value(value) }
        if let near = nearest(to: text, among: words) {
          return .problem("cannot be '\(shown(text))'; did you mean '\(near)'?")
        }
        return .problem("cannot be '\(shown(text))'; choose \(enumerated(words, "or"))")
      })
  }
}

/// `${NAME}` may stand for any value; editors must let it pass.
package let environmentReferencePattern = "\\$\\{[A-Za-z_][A-Za-z0-9_]*(:-[^}]*)?\\}"

package var environmentJSON: JSON { .object([("$ref", .text("#/$defs/environment"))]) }

package func scalarJSON(_ own: [(key: String, value: JSON)]) -> [(key: String, value: JSON)] {
  [("anyOf", .list([.object(own), environmentJSON]))]
}
