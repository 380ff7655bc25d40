//! Plain text tables.

/// Prints rows in columns; every column but the last is as wide as its widest cell.
pub(super) fn print<const N: usize>(head: [&str; N], rows: &[[String; N]]) {
    let width = |column: usize| {
        rows.iter().map(|row| row[column].chars().count()).chain([head[column].chars().count()]).max().unwrap_or(0)
    };
    let widths: [usize; N] = std::array::from_fn(width);
    print_row(&head.map(str::to_owned), &widths);
    print_row(&widths.map(|width| "-".repeat(width)), &widths);
    for row in rows {
        print_row(row, &widths);
    }
}

fn print_row<const N: usize>(row: &[String; N], widths: &[usize; N]) {
    let mut line = String::new();
    for (cell, width) in row.iter().zip(widths) {
        line.push_str(&format!("{cell:width$}  "));
    }
    println!("{}", line.trim_end());
}
