; Master boot record of the p9img sample medium. Not Plan 9's.
;
; Moves itself out of the way, wants every entry's flag to be 0x00 or 0x80 and
; exactly one of them 0x80, loads that partition's first sector with the BIOS's
; LBA reads and jumps to it: dl = drive, si = the partition's entry.
; At most 446 bytes; the partition table and 55 AA follow.

        cpu     386
        bits    16
        org     0x0600

ENTRIES equ     0x0600 + 446

        cli
        xor     ax, ax
        mov     ss, ax
        mov     sp, 0x7C00
        mov     ds, ax
        mov     es, ax
        mov     si, 0x7C00
        mov     di, 0x0600
        mov     cx, 256
        cld
        rep     movsw
        jmp     0:moved
moved:
        sti
        test    dl, dl                  ; some BIOSes say 0 for the first disk
        jnz     .drive
        mov     dl, 0x80
.drive:
        xor     bp, bp                  ; the active entry
        mov     bx, ENTRIES
        mov     cx, 4
.entry:
        mov     al, [bx]
        test    al, al
        jz      .inactive
        mov     si, bad_flag
        cmp     al, 0x80
        jne     fail
        mov     si, two_active
        test    bp, bp
        jnz     fail
        mov     bp, bx
.inactive:
        add     bx, 16
        loop    .entry

        mov     si, none_active
        test    bp, bp
        jz      fail
        mov     eax, [bp + 8]
        mov     [packet.lba], eax
        push    dx
        mov     ah, 0x42
        mov     si, packet
        int     0x13
        pop     dx
        mov     si, unreadable
        jc      fail
        mov     si, unsigned
        cmp     word [0x7C00 + 510], 0xAA55
        jne     fail
        mov     si, bp
        jmp     0:0x7C00

%include "early.inc"

        align   4, db 0
packet: db      16, 0
        dw      1                       ; sectors
        dw      0x7C00, 0               ; offset, segment
.lba:   dq      0

bad_flag:       db "an active flag is neither 0 nor 80", 0
two_active:     db "two active partitions", 0
none_active:    db "no active partition", 0
unreadable:     db "cannot read the partition", 0
unsigned:       db "no boot sector", 0

%if $ - $$ > 446
%error "The code runs into the partition table"
%endif
