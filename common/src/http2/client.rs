//! Client: opens streams on a connection to a backend.

use std::rc::Rc;

use super::{
    head::HeadWriter,
    reason::Broken,
    shared::Shared,
    stream::{Answer, Handle},
};
use crate::message::ResponseHead;

/// Opens streams on one connection, which closes when this is dropped and its streams have ended.
pub struct Client(Rc<Shared>);

impl Client {
    pub(super) fn new(shared: Rc<Shared>) -> Self {
        Self(shared)
    }

    /// Whether further streams may be opened: the connection lasts, and the peer has not said that it goes.
    pub fn is_open(&self) -> bool {
        self.0.is_open()
    }

    /// Streams that the peer allows at once, as last heard (RFC 9113 §6.5.2, SETTINGS_MAX_CONCURRENT_STREAMS); none while it
    /// takes nothing of what is sent.
    pub fn most_streams(&self) -> usize {
        self.0.most_streams()
    }

    /// Sends the head of a request, maybe with the word that nothing follows. The answer is read into `head`; `is_head`
    /// says that it is one to HEAD.
    ///
    /// # Errors
    /// When no further stream may be opened; nothing was sent then.
    pub fn send(
        &self,
        head: Box<ResponseHead>,
        (is_head, is_whole): (bool, bool),
        write: impl FnOnce(&mut HeadWriter<'_>),
    ) -> Result<Handle, Broken> {
        let answer = if is_head { Answer::AwaitedOfHead(head) } else { Answer::Awaited(head) };
        let handle = self.0.open(answer)?;
        handle.send_head(is_whole, write)?;
        Ok(handle)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.0.unused();
    }
}
