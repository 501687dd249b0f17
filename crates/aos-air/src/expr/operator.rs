//! The operators of expressions: their words and how many arguments each takes. What they compute is not here.

use alloc::string::String;

macro_rules! operators {
    ($($(#[$doc:meta])* $name:ident = $word:literal, $least:literal, $most:expr;)*) => {
        /// An operator.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Operator { $($(#[$doc])* $name,)* }

        impl Operator {
            /// Every operator.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// Returns the word for it.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }

            /// Returns the least and the most count of arguments; none is any.
            const fn bounds(self) -> (usize, Option<usize>) {
                match self { $(Self::$name => ($least, $most),)* }
            }
        }
    };
}

operators! {
    /// Count of characters, bytes, items or entries.
    Len = "len", 1, Some(1);
    /// The item at an index, or the value under a key.
    Get = "get", 2, Some(2);
    /// Whether an item, a key or an optional value is there.
    Has = "has", 2, Some(2);
    /// Equal.
    Eq = "eq", 2, Some(2);
    /// Not equal.
    Ne = "ne", 2, Some(2);
    /// Less.
    Lt = "lt", 2, Some(2);
    /// Less or equal.
    Le = "le", 2, Some(2);
    /// Greater.
    Gt = "gt", 2, Some(2);
    /// Greater or equal.
    Ge = "ge", 2, Some(2);
    /// All are true; stops at the first that is not.
    And = "and", 2, None;
    /// One is true; stops at the first that is.
    Or = "or", 2, None;
    /// The opposite.
    Not = "not", 1, Some(1);
    /// One after the other: texts, bytes or lists.
    Concat = "concat", 2, None;
    /// Sum.
    Add = "add", 2, Some(2);
    /// Difference.
    Sub = "sub", 2, Some(2);
    /// Product.
    Mul = "mul", 2, Some(2);
    /// Quotient.
    Div = "div", 2, Some(2);
    /// Remainder.
    Mod = "mod", 2, Some(2);
    /// Whether a text begins with another.
    StartsWith = "starts_with", 2, Some(2);
    /// Whether a text ends with another.
    EndsWith = "ends_with", 2, Some(2);
    /// Whether a text, list or set holds something.
    Contains = "contains", 2, Some(2);
}

impl Operator {
    /// Finds an operator by its word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|operator| operator.word() == word)
    }

    /// Tells whether it takes so many arguments.
    pub const fn takes(self, count: usize) -> bool {
        let (least, most) = self.bounds();
        match most {
            Some(most) => least <= count && count <= most,
            None => least <= count,
        }
    }

    /// Says how many arguments it takes.
    pub(super) fn arity(self) -> String {
        match self.bounds() {
            (1, Some(_)) => "one argument".into(),
            (_, Some(_)) => "two arguments".into(),
            (_, None) => "two arguments or more".into(),
        }
    }
}
