/// Upper and lower case as `str` of Python has them.
extension MarkedText {
  func lowercased() -> MarkedText {
    if isASCII { return mapped { (0x41...0x5a).contains($0) ? $0 | 0x20 : $0 } }
    return mapPlaces(lowercase)
  }

  /// A sigma that ends a word has a shape of its own.
  private func lowercase(_ scalar: Unicode.Scalar, from start: Int, to next: Int) -> String {
    guard scalar == "\u{3a3}" else { return scalar.properties.lowercaseMapping }
    var before = start
    var isAfterLetter = false
    while before > 0 {
      let (neighbour, place) = self.scalar(before: before)
      before = place
      if neighbour.properties.isCaseIgnorable { continue }
      isAfterLetter = neighbour.properties.isCased
      break
    }
    var after = next
    while isAfterLetter, after < count {
      let (neighbour, place) = self.scalar(at: after)
      after = place
      if neighbour.properties.isCaseIgnorable { continue }
      if neighbour.properties.isCased { return "\u{3c3}" }
      break
    }
    return isAfterLetter ? "\u{3c2}" : "\u{3c3}"
  }

  func uppercased() -> MarkedText {
    if isASCII { return mapped { (0x61...0x7a).contains($0) ? $0 & 0xdf : $0 } }
    return mapScalars { $0.properties.uppercaseMapping }
  }

  func casefolded() -> MarkedText {
    // The full case folding is not in the standard library; this differs for a few letters.
    isASCII
      ? lowercased() : mapScalars { String($0.properties.uppercaseMapping).lowercased() }
  }

  /// The first letter as a title's, the rest in lower case.
  func capitalized() -> MarkedText {
    if isEmpty { return self }
    let first = scalar(at: 0).next
    var text = part(0..<first).mapScalars { $0.properties.titlecaseMapping }
    // Lowered as a whole, since a sigma looks at what stands before it.
    let lower = lowercased()
    let skipped = part(0..<first).lowercased().count
    text.append(lower, skipped..<lower.count)
    text.isMarkup = isMarkup
    return text
  }

  /// `str.title`: a letter after none begins a word.
  func titled() -> MarkedText {
    var isWithin = false
    return mapPlaces { scalar, place, next in
      defer { isWithin = scalar.properties.isCased }
      return isWithin
        ? lowercase(scalar, from: place, to: next) : scalar.properties.titlecaseMapping
    }
  }

  func caseSwapped() -> MarkedText {
    mapPlaces { scalar, place, next in
      scalar.properties.isUppercase
        ? lowercase(scalar, from: place, to: next)
        : scalar.properties.isLowercase ? scalar.properties.uppercaseMapping : String(scalar)
    }
  }

  // MARK: Questions of `str`

  /// True where there is a character and all of them are so.
  func all(_ isSo: (Unicode.Scalar) -> Bool) -> Bool {
    if isEmpty { return false }
    var place = 0
    while place < count {
      let (scalar, next) = scalar(at: place)
      if !isSo(scalar) { return false }
      place = next
    }
    return true
  }

  /// `islower` and `isupper`: a cased letter and none of the other case.
  func isCased(as wanted: Case) -> Bool {
    var isFound = false
    var place = 0
    while place < count {
      let (scalar, next) = scalar(at: place)
      place = next
      let properties = scalar.properties
      let isTitle = properties.generalCategory == .titlecaseLetter
      if isTitle || (wanted == .lower ? properties.isUppercase : properties.isLowercase) {
        return false
      }
      if wanted == .lower ? properties.isLowercase : properties.isUppercase { isFound = true }
    }
    return isFound
  }

  enum Case {
    case lower
    case upper
  }
}

extension Unicode.Scalar {
  /// `str.isalpha`: the letters' categories.
  var isPythonLetter: Bool {
    switch properties.generalCategory {
    case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter: true
    default: false
    }
  }

  /// `str.isdecimal`.
  var isPythonDecimal: Bool { properties.generalCategory == .decimalNumber }

  /// `str.isdigit`: decimals, and digits such as superscripts.
  var isPythonDigit: Bool {
    properties.numericType == .decimal || properties.numericType == .digit
  }

  /// `str.isnumeric`.
  var isPythonNumeric: Bool { properties.numericType != nil }
}
