//! What can happen to transactions. Their owner, who knows the messages, says it.

machine::schema! {
    /// What can happen to a transaction.
    pub enum Happened {
        /// A request came again: its answer was sent again, or it is on its way (RFC 3261 §17.2.2).
        RequestRepeated = "request.repeated", counted "tidings_requests_repeated_total" by method {
            /// Method, "other" for one that no standard we know defines.
            method: &'static str,
        }
        /// A refusal of an INVITE was sent again, since no ACK came (RFC 3261 §17.2.1, Timer G).
        AnswerRepeated = "answer.repeated", counted "tidings_answers_repeated_total" {}
        /// There are as many transactions as may be; the request is refused.
        TransactionsFull = "transactions.full", counted "tidings_transactions_full_total" {}
    }
}
