; The loader of the p9img sample medium. It is not Plan 9, and loads nothing:
; it shows that the disk around it is right.
;
; Finds the Plan 9 partition in the MBR, checks that the partition's table says
; that 9fat begins it, reads PLAN9.INI from 9fat's root directory along its
; chain of clusters, and prints one line with the node's name and roles on the
; serial line and the screen. Then it turns the machine off.
;
; The partition boot sector loads it to 1000:0000, ours with dl = drive. All memory
; it uses is in that segment:
;
;       0000    this program
;       2000    one sector: MBR, partition table, directory, in turn
;       2200    one sector of the FAT
;       3000    plan9.ini, 4096 bytes, and a zero behind it
;       FFFE    the stack, downwards

        cpu     386
        bits    16
        org     0

SECTOR          equ 0x2000
FAT             equ 0x2200
INI             equ 0x3000
INI_LONGEST     equ 4096                ; as much as Plan 9's loader takes

        cli
        mov     ax, cs
        mov     ss, ax
        mov     sp, 0xFFFE
        mov     ds, ax
        mov     es, ax
        sti
        cld
        test    dl, 0x80                ; 9legacy's boot sector leaves no drive
        jnz     .drive
        mov     dl, 0x80
.drive: mov     [drive], dl
        call    serial_init
        call    screen_init

        call    find_partition
        call    open_fat
        call    find_ini
        call    read_ini
        call    parse_ini

        mov     si, t_title
        call    print
        mov     si, [sysname]
        mov     cx, [sysname.len]
        call    print_value
        mov     si, t_roles
        call    print
        mov     si, [roles]
        mov     cx, [roles.len]
        call    print_value
        mov     si, t_newline
        call    print
        jmp     power_off

; Prints one line that says what is wrong (si = text) and turns off.
fail:
        push    si
        mov     si, t_title
        call    print
        mov     si, t_error
        call    print
        pop     si
        call    print
        mov     si, t_newline
        call    print
        jmp     power_off

; The partition: the one active entry of the MBR, of type 0x39.
find_partition:
        xor     eax, eax
        mov     di, SECTOR
        call    read
        mov     bx, SECTOR + 446
        mov     cx, 4
.entry: cmp     byte [bx], 0x80
        je      .active
        add     bx, 16
        loop    .entry
.wrong: mov     si, t_no_partition
        jmp     fail
.active:
        cmp     byte [bx + 4], 0x39
        jne     .wrong
        mov     eax, [bx + 8]
        mov     [partition], eax

        inc     eax                     ; its second sector is the table
        mov     di, SECTOR
        call    read
        mov     si, SECTOR
        mov     di, t_table
        mov     cx, t_table.end - t_table
        repe    cmpsb
        mov     si, t_no_table
        jne     fail
        ret

; Takes from the boot sector what reading files needs.
open_fat:
        mov     eax, [partition]
        mov     di, SECTOR
        call    read
        mov     si, t_no_fat
        cmp     word [SECTOR + 11], 512         ; bytes a sector
        jne     fail
        movzx   ecx, byte [SECTOR + 13]         ; sectors a cluster
        jcxz    .wrong
        mov     [cluster_sectors], cx
        movzx   eax, word [SECTOR + 14]         ; reserved sectors
        add     eax, [partition]
        mov     [fat], eax
        movzx   ebx, byte [SECTOR + 16]         ; FATs
        movzx   edx, word [SECTOR + 22]         ; sectors a FAT
        imul    ebx, edx
        add     eax, ebx
        mov     [root], eax
        movzx   ebx, word [SECTOR + 17]         ; root entries
        mov     [root_entries], bx
        add     ebx, 15
        shr     ebx, 4
        add     eax, ebx
        mov     [data], eax

        movzx   ebx, word [SECTOR + 19]         ; sectors, if they fit
        test    bx, bx
        jnz     .small
        mov     ebx, [SECTOR + 32]
.small: add     ebx, [partition]
        sub     ebx, eax
        jbe     .wrong
        mov     eax, ebx
        xor     edx, edx
        div     ecx
        cmp     eax, 4085                       ; clusters
        jb      .fat12
        inc     byte [is_fat16]
.fat12: add     eax, 2
        mov     [cluster_end], eax
        ret
.wrong: jmp     fail

; Finds plan9.ini in the root directory: its length and first cluster.
find_ini:
        mov     eax, [root]
        mov     bp, [root_entries]
.sector:
        mov     di, SECTOR
        call    read
        mov     bx, SECTOR
.entry: mov     si, t_no_ini
        test    bp, bp
        jz      fail
        cmp     byte [bx], 0                    ; none behind this one
        je      fail
        mov     si, bx
        mov     di, ini_name
        mov     cx, 11
        repe    cmpsb
        jne     .other
        test    byte [bx + 11], 0x18            ; directory, volume label
        jz      .found
.other: dec     bp
        add     bx, 32
        cmp     bx, SECTOR + 512
        jb      .entry
        inc     eax
        jmp     .sector
.found:
        mov     ecx, [bx + 28]
        mov     si, t_long_ini
        cmp     ecx, INI_LONGEST
        ja      fail
        mov     [ini_len], cx
        movzx   eax, word [bx + 26]
        mov     [cluster], eax
        ret

; Reads plan9.ini, cluster after cluster, and puts a zero behind it.
read_ini:
        mov     di, INI
        mov     cx, [ini_len]
        add     cx, 511
        shr     cx, 9                           ; sectors still to read
        jcxz    .done
.cluster:
        mov     eax, [cluster]
        mov     si, t_chain
        cmp     eax, 2
        jb      fail
        cmp     eax, [cluster_end]
        jae     fail
        sub     eax, 2
        movzx   ebx, word [cluster_sectors]
        mul     ebx
        add     eax, [data]
.sector:
        call    read
        add     di, 512
        inc     eax
        dec     cx
        jz      .done
        dec     bx
        jnz     .sector
        call    next_cluster
        jmp     .cluster
.done:
        mov     bx, [ini_len]
        mov     byte [INI + bx], 0
        ret

; Follows the FAT from [cluster] to the next one. Keeps cx, di.
next_cluster:
        push    di
        mov     eax, [cluster]
        mov     ebx, eax
        cmp     byte [is_fat16], 0
        jne     .fat16
        shr     ebx, 1                          ; 12 bits: 1.5 bytes each
.fat16: add     ebx, eax                        ; byte offset in the FAT
        mov     edx, ebx
        and     ebx, 511
        shr     edx, 9
        mov     eax, [fat]
        add     eax, edx
        mov     di, FAT
        call    read
        cmp     bx, 511                         ; an entry may cross a sector
        jne     .here
        mov     dl, [FAT + 511]
        inc     eax
        call    read
        mov     dh, [FAT]
        jmp     .got
.here:  mov     dx, [FAT + bx]
.got:   cmp     byte [is_fat16], 0
        jne     .whole
        test    byte [cluster], 1
        jz      .even
        shr     dx, 4
.even:  and     dx, 0x0FFF
.whole: movzx   edx, dx
        mov     [cluster], edx
        pop     di
        ret

; Looks for the two keys at the start of lines; of two equal keys the first
; counts, as in Plan 9.
parse_ini:
        mov     si, INI
.line:  cmp     byte [si], 0
        je      .end
        mov     bx, sysname
        mov     di, k_sysname
        call    .try
        mov     bx, roles
        mov     di, k_roles
        call    .try
.skip:  lodsb
        test    al, al
        jz      .end
        cmp     al, 10
        jne     .skip
        jmp     .line
.end:
        mov     si, t_no_sysname
        cmp     word [sysname.len], 0
        je      fail
        mov     si, t_no_roles
        cmp     word [roles.len], 0
        je      fail
        ret

; If the line at si begins with the key at di, notes at bx where the value is
; and how long. Keeps si.
.try:   push    si
        cmp     word [bx + 2], 0
        jne     .no
.key:   mov     al, [di]
        test    al, al
        jz      .value
        cmp     al, [si]
        jne     .no
        inc     si
        inc     di
        jmp     .key
.value: mov     [bx], si
        mov     dx, si                          ; behind the last that is no blank
.char:  lodsb
        cmp     al, ' '
        je      .char
        cmp     al, 9
        je      .char
        cmp     al, 13
        je      .char
        cmp     al, 10
        je      .ended
        test    al, al
        jz      .ended
        mov     dx, si
        jmp     .char
.ended: sub     dx, [bx]
        mov     [bx + 2], dx
.no:    pop     si
        ret

; Reads the sector at disk address eax to ds:di. Keeps all but the flags.
read:
        pushad
        mov     [packet.lba], eax
        mov     [packet.buffer], di
        mov     [packet.buffer + 2], ds
        mov     ah, 0x42
        mov     dl, [drive]
        mov     si, packet
        int     0x13
        mov     si, t_unreadable
        jc      fail
        popad
        ret

; Prints the text at si, zero ended.
print:  lodsb
        test    al, al
        jz      .done
        call    putc
        jmp     print
.done:  ret

; Prints cx bytes at si; what is not printable ASCII as a question mark.
print_value:
        lodsb
        cmp     al, ' '
        jb      .odd
        cmp     al, '~'
        jbe     .good
.odd:   mov     al, '?'
.good:  call    putc
        loop    print_value
        ret

; One character on the serial line and on the screen. The screen's memory is
; written directly: where the BIOS mirrors its own output to a serial line,
; every character would come twice.
putc:
        call    serial_putc
        pusha
        push    es
        mov     bx, 0xB800
        mov     es, bx
        mov     di, [cursor]
        cmp     al, 13
        je      .done
        cmp     al, 10
        jne     .cell
        mov     ax, di                          ; to the start of the next row
        mov     bl, 160
        div     bl
        inc     al
        mul     bl
        mov     di, ax
        jmp     .done
.cell:  cmp     di, 80 * 25 * 2                 ; a screen without scrolling
        jae     .done
        mov     ah, 0x07
        stosw
.done:  mov     [cursor], di
        pop     es
        popa
        ret

; Text of 80 by 25, empty.
screen_init:
        mov     ax, 0x0003
        int     0x10
        ret

%include "serial.inc"
%include "poweroff.inc"

        align   4, db 0
packet: db      16, 0
        dw      1                               ; sectors
.buffer: dw     0, 0                            ; offset, segment
.lba:   dq      0

partition:      dd 0                            ; disk addresses
fat:            dd 0
root:           dd 0
data:           dd 0
cluster:        dd 0
cluster_end:    dd 0                            ; behind the last cluster
cluster_sectors: dw 0
root_entries:   dw 0
ini_len:        dw 0
cursor:         dw 0                            ; bytes into the screen
sysname:        dw 0                            ; where the value is, its bytes
.len:           dw 0
roles:          dw 0
.len:           dw 0
drive:          db 0
is_fat16:       db 0

ini_name:       db "PLAN9   INI"
k_sysname:      db "sysname=", 0
k_roles:        db "roles=", 0
t_table:        db "part 9fat 0 "
.end:

t_title:        db "p9img sample (not Plan 9): ", 0
t_roles:        db " roles: ", 0
t_error:        db "error: ", 0
t_newline:      db 13, 10, 0
t_no_partition: db "the active partition of the disk is not a Plan 9 partition (type 39)", 0
t_no_table:     db "the Plan 9 partition's table does not begin with 9fat", 0
t_no_fat:       db "9fat is not a FAT with sectors of 512 bytes", 0
t_no_ini:       db "no plan9.ini in the root directory of 9fat", 0
t_long_ini:     db "plan9.ini is longer than 4096 bytes", 0
t_chain:        db "the clusters of plan9.ini end early", 0
t_no_sysname:   db "no sysname= in plan9.ini", 0
t_no_roles:     db "no roles= in plan9.ini", 0
t_unreadable:   db "cannot read the disk", 0

%if $ - $$ > SECTOR
%error "The program runs into its buffers"
%endif
