//! Listening sockets on their way from the parent to the worker (SCM_RIGHTS).

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketType, recvmsg, sendmsg, sockopt,
};

/// Doors of one relay.
pub(super) const MAX_DOORS: usize = 64;

/// What the worker is given.
#[derive(Debug)]
pub(super) enum Given {
    Tcp(std::net::TcpListener),
    Udp(std::net::UdpSocket),
    Unix(std::os::unix::net::UnixListener),
}

/// Sends the doors, with their number as the one byte of content.
pub(super) fn send(channel: impl AsFd, doors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let count = u8::try_from(doors.len())
        .ok()
        .filter(|count| usize::from(*count) <= MAX_DOORS)
        .ok_or_else(|| io::Error::other("too many doors"))?;
    let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DOORS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(doors)) {
        return Err(io::Error::other("too many doors"));
    }
    sendmsg(
        channel,
        &[IoSlice::new(&[count])],
        &mut control,
        SendFlags::NOSIGNAL,
    )?;
    Ok(())
}

/// Receives the doors.
pub(super) fn receive(channel: impl AsFd) -> io::Result<Vec<Given>> {
    let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DOORS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut count = [0_u8];
    let mut content = [IoSliceMut::new(&mut count)];
    recvmsg(channel, &mut content, &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let mut doors = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = message {
            for descriptor in descriptors {
                doors.push(given(descriptor)?);
            }
        }
    }
    if doors.len() == usize::from(count[0]) && !doors.is_empty() {
        Ok(doors)
    } else {
        Err(io::Error::other("the doors did not arrive"))
    }
}

fn given(descriptor: OwnedFd) -> io::Result<Given> {
    let family = sockopt::socket_domain(&descriptor)?;
    Ok(if family == AddressFamily::UNIX {
        Given::Unix(descriptor.into())
    } else if sockopt::socket_type(&descriptor)? == SocketType::DGRAM {
        Given::Udp(descriptor.into())
    } else {
        Given::Tcp(descriptor.into())
    })
}
