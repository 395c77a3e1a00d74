/// A part of one tensor of the files, which is what one rank reads.
///
/// Tensors of linear layers are [out, in]. A column split (of `q_proj`, say) takes some rows, a row
/// split (of `o_proj`) some columns: the words are the field's, named for the transposed matrix.
package struct TensorSlice: Equatable, Sendable {
  /// The Hugging Face name.
  package var name: String
  package var rows: Range<Int>
  package var columns: Range<Int>
  /// Read the other way round: a matrix of `columns.count` rows and `rows.count` columns.
  package var isTransposed: Bool

  package init(
    _ name: String, rows: Range<Int>, columns: Range<Int>, isTransposed: Bool = false
  ) {
    self.name = name
    self.rows = rows
    self.columns = columns
    self.isTransposed = isTransposed
  }
}

/// A matrix of this rank: `y = W x`.
package struct MatrixPlan: Equatable, Sendable {
  package enum Precision: Sendable {
    /// As `--dtype` says.
    case asAsked
    /// bf16 where `--dtype` says fp8: too small, or too sensitive, to be quantised.
    case atLeastHalf
    /// fp32 always: routers, whose near ties decide which experts run.
    case full
  }

  package var slice: TensorSlice
  package var precision: Precision

  package init(_ slice: TensorSlice, _ precision: Precision = .asAsked) {
    self.slice = slice
    self.precision = precision
  }

  package var rows: Int { slice.isTransposed ? slice.columns.count : slice.rows.count }
  package var columns: Int { slice.isTransposed ? slice.rows.count : slice.columns.count }

  package func type(asked: WeightType) -> WeightType {
    switch (precision, asked) {
    case (.asAsked, _): asked
    case (.atLeastHalf, .fp8): .bf16
    case (.atLeastHalf, _): asked
    case (.full, _): .fp32
    }
  }
}

/// A vector of this rank: a norm's weights or a bias. Always fp32 in memory. Its slice has one row.
package struct VectorPlan: Equatable, Sendable {
  package var slice: TensorSlice

  package init(_ name: String, _ range: Range<Int>) {
    slice = TensorSlice(name, rows: 0..<1, columns: range)
  }

  package var count: Int { slice.columns.count }
}

/// A linear layer with its bias.
package struct LinearPlan: Equatable, Sendable {
  package var matrix: MatrixPlan
  /// nil also where another rank adds it: the bias of a row-split layer is rank 0's.
  package var bias: VectorPlan?

  package init(_ matrix: MatrixPlan, bias: VectorPlan? = nil) {
    self.matrix = matrix
    self.bias = bias
  }
}
