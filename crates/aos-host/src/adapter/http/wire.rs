//! One connection: bytes out and in, plain or under TLS, never waiting past its watch.
//!
//! Knows whether a byte of a request may have left. Never here: HTTP, addresses, DNS.
//! Next: `exchange.rs`, which speaks HTTP over it.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;

use rustls::{ClientConnection, StreamOwned};

use super::error::HttpError;
use super::watch::Watch;

/// An open connection with one host.
pub(crate) struct Wire {
    stream: Stream,
    host: String,
    sent: bool,
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, Stepped>>),
}

/// A socket that is read once for each turn: rustls reads until it has what it wants, and a server that sends what it
/// does not want would otherwise keep it from ever coming back to the watch.
struct Stepped {
    socket: TcpStream,
    is_read: bool,
}

impl Read for Stepped {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if std::mem::replace(&mut self.is_read, true) {
            return Err(ErrorKind::WouldBlock.into());
        }
        self.socket.read(buffer)
    }
}

impl Write for Stepped {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.socket.flush()
    }
}

impl Wire {
    /// Takes a connected socket as it is.
    pub(super) fn plain(socket: TcpStream, host: &str) -> Self {
        Self { stream: Stream::Plain(socket), host: host.to_owned(), sent: false }
    }

    /// Makes the TLS handshake over a connected socket: afterwards the server has proven that it is `host`.
    pub(super) fn tls(
        socket: TcpStream,
        mut client: ClientConnection,
        host: &str,
        watch: &Watch<'_>,
    ) -> Result<Self, HttpError> {
        let mut socket = Stepped { socket, is_read: false };
        while client.is_handshaking() {
            wait(&socket.socket, watch)?;
            socket.is_read = false;
            if let Err(error) = client.complete_io(&mut socket)
                && !is_turn(&error)
            {
                return Err(HttpError::Tls { host: host.to_owned(), reason: error.to_string() });
            }
        }
        let stream = Stream::Tls(Box::new(StreamOwned::new(client, socket)));
        Ok(Self { stream, host: host.to_owned(), sent: false })
    }

    /// Says whether a byte of a request may have left this machine.
    pub(crate) const fn has_sent(&self) -> bool {
        self.sent
    }

    /// Sends all of `bytes`.
    pub(super) fn send(&mut self, mut bytes: &[u8], watch: &Watch<'_>) -> Result<(), HttpError> {
        self.sent = self.sent || !bytes.is_empty();
        while !bytes.is_empty() {
            self.turn(watch)?;
            let written = match &mut self.stream {
                Stream::Plain(socket) => socket.write(bytes),
                // It takes nothing while what it has encrypted has not left.
                Stream::Tls(stream) => match stream.write(bytes) {
                    Ok(0) => continue,
                    written => written,
                },
            };
            match written {
                Ok(0) => return Err(HttpError::Closed { before: "the whole request was sent" }),
                Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
                Err(error) if is_turn(&error) => {}
                Err(error) => return Err(self.broken(&error, "the whole request was sent")),
            }
        }
        self.flush(watch)
    }

    /// TLS keeps what it has encrypted until the socket takes it.
    fn flush(&mut self, watch: &Watch<'_>) -> Result<(), HttpError> {
        loop {
            self.turn(watch)?;
            let flushed = match &mut self.stream {
                Stream::Plain(_) => return Ok(()),
                Stream::Tls(stream) => stream.flush(),
            };
            match flushed {
                Ok(()) => return Ok(()),
                Err(error) if is_turn(&error) => {}
                Err(error) => return Err(self.broken(&error, "the whole request was sent")),
            }
        }
    }

    /// Reads what is there, at least one byte; 0 is the end of a connection that the server closed in order.
    pub(super) fn read(
        &mut self,
        buffer: &mut [u8],
        watch: &Watch<'_>,
        before: &'static str,
    ) -> Result<usize, HttpError> {
        loop {
            self.turn(watch)?;
            let read = match &mut self.stream {
                Stream::Plain(socket) => socket.read(buffer),
                Stream::Tls(stream) => stream.read(buffer),
            };
            match read {
                Ok(count) => return Ok(count),
                Err(error) if is_turn(&error) => {}
                Err(error) => return Err(self.broken(&error, before)),
            }
        }
    }

    /// Begins a turn: at most one wait, and under TLS one read.
    fn turn(&mut self, watch: &Watch<'_>) -> Result<(), HttpError> {
        match &mut self.stream {
            Stream::Plain(socket) => wait(socket, watch),
            Stream::Tls(stream) => {
                stream.sock.is_read = false;
                wait(&stream.sock.socket, watch)
            }
        }
    }

    /// Under TLS, an end without notice is an error too (`UnexpectedEof`): anyone on the way can cut a connection.
    fn broken(&self, error: &io::Error, before: &'static str) -> HttpError {
        match error.kind() {
            ErrorKind::InvalidData => HttpError::Tls { host: self.host.clone(), reason: error.to_string() },
            _ => HttpError::Closed { before },
        }
    }
}

/// Sets the next wait of the socket to one turn of the watch.
fn wait(socket: &TcpStream, watch: &Watch<'_>) -> Result<(), HttpError> {
    let turn = watch.turn()?;
    let set = socket.set_read_timeout(Some(turn)).and_then(|()| socket.set_write_timeout(Some(turn)));
    set.map_err(|_| HttpError::Closed { before: "it could be used" })
}

/// Says whether an error is only the end of a turn.
fn is_turn(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}
