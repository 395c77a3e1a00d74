import Glibc

extension StatusTable.Style {
  /// What a descriptor can show: colour and a width on a terminal, neither elsewhere. `NO_COLOR`
  /// and `TERM=dumb` are heeded.
  package static func of(descriptor: Int32) -> StatusTable.Style {
    guard isatty(descriptor) == 1 else { return .plain }
    var size = winsize()
    let isKnown = ioctl(descriptor, UInt(TIOCGWINSZ), &size) == 0 && size.ws_col > 0
    let isPlain = setting("NO_COLOR").map { !$0.isEmpty } ?? false || setting("TERM") == "dumb"
    return StatusTable.Style(columns: isKnown ? Int(size.ws_col) : nil, isColoured: !isPlain)
  }

  private static func setting(_ name: String) -> String? {
    getenv(name).map { String(cString: $0) }
  }
}
