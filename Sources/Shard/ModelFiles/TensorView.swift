import CModelFiles

/// What numbers are stored as. Raw values are those of CModelFiles.
package enum Storage: UInt32, Sendable, CaseIterable {
  case f32 = 0
  case f16 = 1
  case bf16 = 30
  /// FP8 with 4 bits of exponent; its numbers are meant times their block's scale.
  case e4m3 = 1000
  // GGUF's blocks of 32 numbers, then those of 256.
  case q40 = 2
  case q41 = 3
  case q50 = 6
  case q51 = 7
  case q80 = 8
  case q4K = 12
  case q5K = 13
  case q6K = 14

  /// As the files' own documents write it.
  package var name: String {
    switch self {
    case .f32: "F32"
    case .f16: "F16"
    case .bf16: "BF16"
    case .e4m3: "F8_E4M3"
    case .q40: "Q4_0"
    case .q41: "Q4_1"
    case .q50: "Q5_0"
    case .q51: "Q5_1"
    case .q80: "Q8_0"
    case .q4K: "Q4_K"
    case .q5K: "Q5_K"
    case .q6K: "Q6_K"
    }
  }

  /// Numbers in one block, and its bytes.
  var blockNumbers: Int { pf_block_numbers(Int32(rawValue)) }
  var blockBytes: Int { pf_block_bytes(Int32(rawValue)) }
}

/// Rows of numbers within a mapped file. Whoever makes one has checked that they lie inside.
struct StoredRows: Sendable {
  let file: MappedFile
  /// Where row 0 begins. Bytes.
  let start: Int
  let rows: Int
  let columns: Int
  let storage: Storage

  var rowBytes: Int { columns / storage.blockNumbers * storage.blockBytes }
  var byteRange: Range<Int> { start..<(start + rows * rowBytes) }

  func address(row: Int) -> UnsafeRawPointer? {
    file.bytes.baseAddress.map { $0 + (start + row * rowBytes) }
  }

  func read(row: Int, columns range: Range<Int>, into out: UnsafeMutablePointer<Float>) {
    guard let row = address(row: row), !range.isEmpty else { return }
    pf_read(
      Int32(storage.rawValue), row.assumingMemoryBound(to: UInt8.self), range.lowerBound,
      range.count, out)
  }
}

/// One weight of the model under its Hugging Face name, read from the file where it lies.
package struct TensorView: Sendable {
  package let name: String
  /// [out, in] as y = W x; a vector has one row.
  package var rows: Int { stored.rows }
  package var columns: Int { stored.columns }
  package var storage: Storage { stored.storage }
  /// Of an FP8 weight: W = byte * scale of its block of 128 x 128.
  package let blockScales: BlockScales?

  let stored: StoredRows
  let order: Order

  /// In which order the outputs (rows, or the elements of a vector) lie in the file.
  enum Order: Sendable {
    case plain
    /// GGUF's llama: within a head of this size, the two halves of Hugging Face's order alternate.
    case alternatingHalves(headSize: Int)

    /// Where output `index` lies.
    func place(_ index: Int) -> Int {
      switch self {
      case .plain: return index
      case .alternatingHalves(let size):
        let within = index % size
        let half = size / 2
        return index - within + within % half * 2 + within / half
      }
    }
  }

  /// The edge of a block of FP8 weights that shares one scale. `weight_block_size` of every
  /// published checkpoint of the kind.
  package static let scaleBlock = 128

  /// Scales of an FP8 weight: one for each block of `scaleBlock` rows and columns.
  package struct BlockScales: Sendable {
    package var rows: Int { stored.rows }
    package var columns: Int { stored.columns }
    let stored: StoredRows

    /// Scales of one row of blocks, from block column `columns.lowerBound` on.
    package func read(row: Int, columns: Range<Int>, into out: UnsafeMutablePointer<Float>) {
      precondition(row >= 0 && row < rows && columns.lowerBound >= 0)
      precondition(columns.upperBound <= self.columns)
      stored.read(row: row, columns: columns, into: out)
    }
  }

  /// The numbers of a rectangle as floats, FP8 times its scales, row after row without gaps.
  /// `out` has room for `rows.count * columns.count`.
  package func read(
    rows: Range<Int>, columns: Range<Int>, into out: UnsafeMutablePointer<Float>
  ) {
    check(rows, columns)
    if self.rows == 1, case .alternatingHalves = order {
      // A vector's outputs are its elements.
      for (index, column) in columns.enumerated() {
        let place = order.place(column)
        stored.read(row: 0, columns: place..<(place + 1), into: out + index)
      }
      return
    }
    var out = out
    for row in rows {
      stored.read(row: order.place(row), columns: columns, into: out)
      if let blockScales { scale(out, row: row, columns: columns, by: blockScales) }
      out += columns.count
    }
  }

  /// All of it.
  package func read(into out: UnsafeMutablePointer<Float>) {
    read(rows: 0..<rows, columns: 0..<columns, into: out)
  }

  /// The bf16 numbers of a rectangle where they lie, with the elements from row to row. nil where a
  /// conversion is needed or they are not aligned to two bytes; then `read` does it. Valid for as long
  /// as this view or its source is.
  package func bf16(
    rows: Range<Int>, columns: Range<Int>
  ) -> (start: UnsafePointer<UInt16>, stride: Int)? {
    guard storage == .bf16, let start = direct(rows, columns, size: 2),
      Int(bitPattern: start) % 2 == 0
    else { return nil }
    return (start.assumingMemoryBound(to: UInt16.self), self.columns)
  }

  /// The FP8 bytes of a rectangle where they lie, without their scales, with the elements from row
  /// to row. nil where this is no FP8 weight. Valid for as long as this view or its source is.
  package func e4m3(
    rows: Range<Int>, columns: Range<Int>
  ) -> (start: UnsafePointer<UInt8>, stride: Int)? {
    guard storage == .e4m3, let start = direct(rows, columns, size: 1) else { return nil }
    return (start.assumingMemoryBound(to: UInt8.self), self.columns)
  }

  /// Gives back the pages of the file that only this tensor fills: what was read has been copied.
  package func release() { stored.file.release(stored.byteRange) }

  /// Asks for the bytes before they are read.
  package func prefetch() { stored.file.prefetch(stored.byteRange) }

  private func direct(_ rows: Range<Int>, _ columns: Range<Int>, size: Int) -> UnsafeRawPointer? {
    check(rows, columns)
    guard case .plain = order else { return nil }
    return stored.address(row: rows.lowerBound).map { $0 + columns.lowerBound * size }
  }

  private func check(_ rows: Range<Int>, _ columns: Range<Int>) {
    precondition(
      rows.lowerBound >= 0 && rows.upperBound <= self.rows && columns.lowerBound >= 0
        && columns.upperBound <= self.columns, "a rectangle outside of tensor \(name)")
  }

  private func scale(
    _ row: UnsafeMutablePointer<Float>, row index: Int, columns: Range<Int>, by scales: BlockScales
  ) {
    var column = columns.lowerBound
    while column < columns.upperBound {
      let block = column / Self.scaleBlock
      let end = min(columns.upperBound, (block + 1) * Self.scaleBlock)
      var scale: Float = 0
      scales.read(row: index / Self.scaleBlock, columns: block..<(block + 1), into: &scale)
      pf_scale(row + (column - columns.lowerBound), end - column, scale)
      column = end
    }
  }
}
