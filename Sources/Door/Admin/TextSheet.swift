/// Columns of text side by side, as wide as they need to be, and fewer of them where the terminal is
/// too narrow for all.
struct TextSheet {
  enum Side {
    case left
    case right
    /// Left, and takes what is left of the line: cut when that is not enough.
    case rest
  }

  struct Column {
    let title: String
    let side: Side
    /// Columns of rank 0 always stay; of the others the highest rank goes first.
    let rank: Int
    var cells: [String]

    init(_ title: String, _ side: Side, rank: Int, _ cells: [String]) {
      self.title = title
      self.side = side
      self.rank = rank
      self.cells = cells
    }

    var width: Int { max(title.count, cells.reduce(0) { max($0, $1.count) }) }
    var isEmpty: Bool { cells.allSatisfy(\.isEmpty) }
    /// Narrower than this, it is not worth its place.
    var leastWidth: Int { side == .rest ? min(width, 16) : width }
  }

  private static let gap = 2
  /// A name is never cut shorter than this.
  private static let leastName = 8

  private let columns: [(column: Column, width: Int)]
  private let indent: Int

  /// - Parameter width: characters of a line; nil for as many as there are.
  init(columns all: [Column], indent: Int, width: Int?) {
    self.indent = indent
    var kept = all.filter { $0.rank == 0 || !$0.isEmpty }
    guard let width else {
      columns = kept.map { ($0, $0.width) }
      return
    }
    func needed() -> Int {
      kept.reduce(indent) { $0 + $1.leastWidth } + Self.gap * (kept.count - 1)
    }
    while needed() > width, let last = kept.map(\.rank).max(), last > 0 {
      kept.removeAll { $0.rank == last }
    }
    var widths = kept.map(\.leastWidth)
    let spare = width - needed()
    for (index, column) in kept.enumerated() {
      if spare > 0, column.side == .rest {
        widths[index] = min(column.width, widths[index] + spare)
      } else if spare < 0, index == 0 {
        widths[index] = max(Self.leastName, widths[index] + spare)
      }
    }
    columns = zip(kept, widths).map { ($0, $1) }
  }

  var header: String { line { $0.title } }

  func row(_ index: Int) -> String { line { $0.cells[index] } }

  private func line(_ cell: (Column) -> String) -> String {
    var text = String(repeating: " ", count: indent)
    for (place, (column, width)) in columns.enumerated() {
      if place > 0 { text += String(repeating: " ", count: Self.gap) }
      let content = Self.cut(cell(column), to: width)
      let padding = String(repeating: " ", count: width - content.count)
      text += column.side == .right ? padding + content : content + padding
    }
    while text.last == " " { text.removeLast() }
    return text
  }

  /// The text, or its beginning and an ellipsis. Characters count as one column each; wide ones of
  /// East Asian scripts would need two (possible, not needed so far).
  static func cut(_ text: String, to width: Int) -> String {
    text.count <= width ? text : String(text.prefix(max(0, width - 1))) + (width > 0 ? "…" : "")
  }
}
