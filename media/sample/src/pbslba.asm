; Partition boot sector of the p9img sample medium. Not Plan 9's.
;
; The bytes from 0x3E on go behind a FAT's parameter block, which the writer of
; the FAT fills in. Its volume id is the disk address of the root directory,
; as Plan 9's disk/format leaves it. Looks for 9LOAD among the root directory's
; first 16 entries, loads it, contiguous, to 1000:0000 and jumps there with
; dl = drive.

        cpu     386
        bits    16
        org     0x7C00

        jmp     short start
        nop

CLUSTER         equ 0x7C00 + 13         ; sectors a cluster, 1 byte
ROOT_ENTRIES    equ 0x7C00 + 17
VOLUME_ID       equ 0x7C00 + 39

DIRECTORY       equ 0x0600              ; where the directory's sector goes
LOADER          equ 0x1000              ; segment
LONGEST         equ 0x80000             ; bytes: the loader ends below 0x90000

        times 0x3E - ($ - $$) db 0
start:
        cli
        xor     ax, ax
        mov     ss, ax
        mov     sp, 0x7C00
        mov     ds, ax
        mov     es, ax
        sti
        cld

        mov     eax, [VOLUME_ID]
        mov     [packet.lba], eax
        call    read

        mov     bx, DIRECTORY
        mov     bp, 16
.entry:
        mov     si, bx
        mov     di, name
        mov     cx, 11
        repe    cmpsb
        je      found
        add     bx, 32
        dec     bp
        jnz     .entry
        mov     si, missing
        jmp     fail

found:
        mov     ecx, [bx + 28]          ; bytes
        mov     si, too_long
        cmp     ecx, LONGEST
        ja      fail
        add     ecx, 511
        shr     ecx, 9
        mov     si, missing             ; a loader without bytes is none
        jecxz   fail

        movzx   eax, word [bx + 26]     ; first cluster
        sub     eax, 2
        jb      fail
        movzx   ebx, byte [CLUSTER]
        push    dx
        mul     ebx
        pop     dx
        movzx   ebx, word [ROOT_ENTRIES]
        add     ebx, 15
        shr     ebx, 4                  ; sectors of the root directory
        add     eax, ebx
        add     eax, [VOLUME_ID]
        mov     [packet.lba], eax
        mov     dword [packet.buffer], LOADER << 16
.sector:
        call    read
        inc     dword [packet.lba]
        add     word [packet.buffer + 2], 512 / 16
        loop    .sector
        jmp     LOADER:0

; Reads one sector as the packet says. Keeps cx, dx, bx, bp.
read:
        pusha
        mov     ah, 0x42
        mov     si, packet
        int     0x13
        mov     si, unreadable
        jc      fail
        popa
        ret

%include "early.inc"

        align   4, db 0
packet: db      16, 0
        dw      1
.buffer: dw     DIRECTORY, 0            ; offset, segment
.lba:   dq      0

name:           db "9LOAD      "
missing:        db "no 9LOAD in 9fat", 0
too_long:       db "9LOAD is too long", 0
unreadable:     db "cannot read 9fat", 0

%if $ - $$ > 510
%error "The code runs into the boot sector's signature"
%endif
